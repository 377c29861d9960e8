"""What providers say of one call, usage object by usage object, and what was really used.

A row: its name, the usage objects in the order they come, the classes, and the flags if any.
Counts were added up by hand from what each provider documents.
"""

from typing import Any

Json = dict[str, Any]
Row = tuple[str, list[Json], Json, tuple[str, ...]]


def openai(prompt: int, completion: int, total: int | None = None, **more: Any) -> Json:
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def within(prompt: Json | None = None, completion: Json | None = None) -> Json:
    return {"prompt_tokens_details": prompt, "completion_tokens_details": completion}


def responses(inputs: int, outputs: int, **more: Any) -> Json:
    sums = {"input_tokens": inputs, "output_tokens": outputs, "total_tokens": inputs + outputs}
    return sums | more


def claude(inputs: int, outputs: int, read: int = 0, written: int = 0, **more: Any) -> Json:
    cache = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    return {"input_tokens": inputs, "output_tokens": outputs, **cache, **more}


def kept(short: int, long: int) -> Json:
    return {
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    }


def gemini(
    prompt: int, said: int, thoughts: int = 0, total: int | None = None, **more: Any
) -> Json:
    thought = {"thoughtsTokenCount": thoughts} if thoughts else {}
    total = prompt + said + thoughts if total is None else total
    sums = {"promptTokenCount": prompt, "candidatesTokenCount": said, "totalTokenCount": total}
    return sums | thought | more


def heard(text: int, audio: int) -> list[Json]:
    return [
        {"modality": "TEXT", "tokenCount": text},
        {"modality": "AUDIO", "tokenCount": audio},
    ]


INCONSISTENT, ASSUMED = ("inconsistent_usage",), ("assumed_split",)
MISMATCH = ("total_mismatch",)

OPENAI: list[Row] = [
    ("nothing at all", [{}], {}, ()),
    ("plain", [openai(1000, 200)], {"input": 1000, "output": 200}, ()),
    ("nulls in between", [{"usage": None}, openai(7, 3)], {"input": 7, "output": 3}, ()),
    (
        "cached and reasoning are parts",
        [openai(2006, 300, **within({"cached_tokens": 1920}, {"reasoning_tokens": 128}))],
        {"input": 86, "cache_read": 1920, "output": 172, "reasoning": 128},
        (),
    ),
    (
        "running usage with every chunk counts once",
        [openai(35, n) for n in range(6)],
        {"input": 35, "output": 5},
        (),
    ),
    ("usage told twice", [openai(100, 10)] * 2, {"input": 100, "output": 10}, ()),
    (
        "the second of two corrects the first",
        [openai(100, 10), openai(100, 12, **within({"cached_tokens": 64}))],
        {"input": 36, "cache_read": 64, "output": 12},
        (),
    ),
    (
        "a later object without details keeps the earlier ones",
        [openai(100, 1, **within({"cached_tokens": 64})), openai(100, 9, **within({}))],
        {"input": 36, "cache_read": 64, "output": 9},
        (),
    ),
    (
        "details that are null",
        [openai(9, 2, **within())],
        {"input": 9, "output": 2},
        (),
    ),
    (
        "audio in and out",
        [openai(100, 50, **within({"audio_tokens": 60}, {"audio_tokens": 30}))],
        {"input": 40, "input_audio": 60, "output": 20, "output_audio": 30},
        (),
    ),
    (
        "cached audio that is said",
        [
            openai(
                100,
                5,
                **within(
                    {
                        "cached_tokens": 80,
                        "audio_tokens": 50,
                        "cached_tokens_details": {"audio_tokens": 40, "text_tokens": 40},
                    }
                ),
            )
        ],
        {"input": 10, "input_audio": 10, "cache_read": 40, "cache_read_audio": 40, "output": 5},
        (),
    ),
    (
        "cached audio that must be",
        [openai(100, 5, **within({"cached_tokens": 80, "audio_tokens": 50}))],
        {"input_audio": 20, "cache_read": 50, "cache_read_audio": 30, "output": 5},
        ASSUMED,
    ),
    (
        "written to the cache is part of the prompt",
        [openai(5000, 80, **within({"cached_tokens": 1000, "cache_write_tokens": 3500}))],
        {"input": 500, "cache_read": 1000, "cache_write_5m": 3500, "output": 80},
        (),
    ),
    (
        "priority keeps its names",
        [openai(1000, 9, service_tier="priority", **within({"cached_tokens": 400}))],
        {"input": 600, "cache_read": 400, "output": 9},
        (),
    ),
    (
        "flex keeps its names",
        [openai(500, 90, service_tier="flex", **within(None, {"reasoning_tokens": 60}))],
        {"input": 500, "output": 30, "reasoning": 60},
        (),
    ),
    (
        "rejected predictions are billed as output",
        [openai(40, 90, **within(None, {"rejected_prediction_tokens": 30}))],
        {"input": 40, "output": 90},
        (),
    ),
    (
        "OpenRouter: a cost beside the tokens",
        [openai(1200, 60, cost=0.00045, is_byok=False, **within({"cached_tokens": 1024}))],
        {"input": 176, "cache_read": 1024, "output": 60},
        (),
    ),
    (
        "OpenRouter: written to Anthropic's cache",
        [openai(2050, 60, cost=0.01, **within({"cache_write_tokens": 2000}))],
        {"input": 50, "cache_write_5m": 2000, "output": 60},
        (),
    ),
    (
        "DeepSeek: hits and misses",
        [openai(300, 20, prompt_cache_hit_tokens=256, prompt_cache_miss_tokens=44)],
        {"input": 44, "cache_read": 256, "output": 20},
        (),
    ),
    (
        "Grok: reasoning beside the completion",
        [openai(32, 9, 237, **within(None, {"reasoning_tokens": 196}))],
        {"input": 32, "output": 9, "reasoning": 196},
        (),
    ),
    (
        "Gemini over OpenAI's format: thinking is in the total only",
        [openai(100, 40, 440)],
        {"input": 100, "output": 40, "reasoning": 300},
        ASSUMED,
    ),
    (
        "a total that no part explains",
        [openai(100, 40, 150, **within(None, {"reasoning_tokens": 30}))],
        {"input": 100, "output": 10, "reasoning": 30},
        MISMATCH,
    ),
    ("a total that is too small", [openai(100, 40, 100)], {"input": 100, "output": 40}, MISMATCH),
    (
        "more cached than there was",
        [openai(10, 1, **within({"cached_tokens": 99}))],
        {"cache_read": 10, "output": 1},
        INCONSISTENT,
    ),
    (
        "more reasoning than was said",
        [openai(10, 5, **within(None, {"reasoning_tokens": 8}))],
        {"input": 10, "reasoning": 5},
        INCONSISTENT,
    ),
    (
        "negative and odd values",
        [{"prompt_tokens": -3, "completion_tokens": "4", "prompt_tokens_details": 5}],
        {},
        (),
    ),
    ("only zeros", [openai(0, 0)], {}, ()),
    (
        "Responses: the same under other names",
        [
            responses(
                2006,
                300,
                input_tokens_details={"cached_tokens": 1920, "cache_write_tokens": 0},
                output_tokens_details={"reasoning_tokens": 128},
            )
        ],
        {"input": 86, "cache_read": 1920, "output": 172, "reasoning": 128},
        (),
    ),
    (
        "Responses: a cache write",
        [
            responses(
                4000, 10, input_tokens_details={"cached_tokens": 0, "cache_write_tokens": 3900}
            )
        ],
        {"input": 100, "cache_write_5m": 3900, "output": 10},
        (),
    ),
    (
        "Responses: two searches",
        [responses(8000, 400, web_search_requests=2)],
        {"input": 8000, "output": 400, "web_search": 2},
        (),
    ),
]

ANTHROPIC: list[Row] = [
    ("plain", [claude(1000, 1), claude(1000, 200)], {"input": 1000, "output": 200}, ()),
    (
        "two deltas count once",
        [claude(1000, 1), claude(1000, 120), claude(1000, 200)],
        {"input": 1000, "output": 200},
        (),
    ),
    (
        "a delta with the output alone",
        [claude(1000, 1, 5000), {"output_tokens": 200}],
        {"input": 1000, "cache_read": 5000, "output": 200},
        (),
    ),
    (
        "a gateway that begins with zeros",
        [claude(0, 0), claude(350, 40, 60)],
        {"input": 350, "cache_read": 60, "output": 40},
        (),
    ),
    (
        "a gateway that ends with zeros",
        [claude(350, 1, 60), claude(0, 40)],
        {"input": 350, "cache_read": 60, "output": 40},
        (),
    ),
    (
        "read from and written to the cache stand beside",
        [claude(50, 3, 10000, 2000, **kept(2000, 0)), claude(50, 400, 10000, 2000)],
        {"input": 50, "cache_read": 10000, "cache_write_5m": 2000, "output": 400},
        (),
    ),
    (
        "an hour in the cache has its own rate",
        [claude(10, 1, 0, 3000, **kept(1000, 2000)), claude(10, 100, 0, 3000)],
        {"input": 10, "cache_write_5m": 1000, "cache_write_1h": 2000, "output": 100},
        (),
    ),
    (
        "written without saying for how long",
        [claude(10, 1, 0, 3000), claude(10, 100, 0, 3000)],
        {"input": 10, "cache_write_5m": 3000, "output": 100},
        (),
    ),
    (
        "a breakdown that is shorter than the sum",
        [claude(10, 100, 0, 3000, **kept(500, 2000))],
        {"input": 10, "cache_write_5m": 1000, "cache_write_1h": 2000, "output": 100},
        ASSUMED,
    ),
    (
        "a breakdown without a sum",
        [{"input_tokens": 10, "output_tokens": 5, **kept(200, 300)}],
        {"input": 10, "cache_write_5m": 200, "cache_write_1h": 300, "output": 5},
        (),
    ),
    (
        "thinking is part of the output",
        [claude(90, 1), claude(90, 700, output_tokens_details={"thinking_tokens": 500})],
        {"input": 90, "output": 200, "reasoning": 500},
        (),
    ),
    (
        "more thinking than was said",
        [claude(90, 100, output_tokens_details={"thinking_tokens": 500})],
        {"input": 90, "reasoning": 100},
        INCONSISTENT,
    ),
    (
        "searches are a fee",
        [claude(3000, 1), claude(9000, 250, server_tool_use={"web_search_requests": 3})],
        {"input": 9000, "output": 250, "web_search": 3},
        (),
    ),
    (
        "what is fetched is no fee",
        [claude(3000, 9, server_tool_use={"web_search_requests": 0, "web_fetch_requests": 2})],
        {"input": 3000, "output": 9},
        (),
    ),
    (
        "a search that reads the cache",
        [
            claude(200, 1, 4000, 1000, **kept(1000, 0)),
            claude(2200, 90, 9000, 1000, server_tool_use={"web_search_requests": 1}),
        ],
        {"input": 2200, "cache_read": 9000, "cache_write_5m": 1000, "output": 90, "web_search": 1},
        (),
    ),
    (
        "a compaction is billed beside the top level",
        [
            claude(23000, 1),
            claude(
                23000,
                1000,
                iterations=[
                    claude(180000, 3500, type="compaction"),
                    claude(23000, 1000, type="message"),
                ],
            ),
        ],
        {"input": 203000, "output": 4500},
        (),
    ),
    (
        "turns of a tool loop are in the top level already",
        [
            claude(
                500,
                50,
                iterations=[claude(200, 20, type="message"), claude(300, 30, type="message")],
            )
        ],
        {"input": 500, "output": 50},
        (),
    ),
    (
        "an advisor is another model",
        [
            claude(
                500, 50, iterations=[claude(800, 70, type="advisor_message", model="claude-opus-5")]
            )
        ],
        {"input": 1300, "output": 120},
        ("other_models",),
    ),
    (
        "a model that stood in is in the top level",
        [claude(500, 50, iterations=[claude(500, 50, type="fallback_message", model="other")])],
        {"input": 500, "output": 50},
        (),
    ),
    (
        "fast and elsewhere keep the counts",
        [
            claude(100, 1, speed="fast", inference_geo="us", service_tier="priority"),
            claude(100, 40),
        ],
        {"input": 100, "output": 40},
        (),
    ),
    (
        "cut off before the end",
        [claude(1000, 1, 5000)],
        {"input": 1000, "cache_read": 5000, "output": 1},
        (),
    ),
]

GEMINI: list[Row] = [
    (
        "plain, with every chunk",
        [gemini(1000, 1), gemini(1000, 120), gemini(1000, 200)],
        {"input": 1000, "output": 200},
        (),
    ),
    ("only at the end", [gemini(30, 9)], {"input": 30, "output": 9}, ()),
    (
        "thoughts stand beside, cached within",
        [
            gemini(5000, 0, 300, cachedContentTokenCount=4096),
            gemini(5000, 10, 500, cachedContentTokenCount=4096),
            gemini(5000, 150, 500, cachedContentTokenCount=4096),
        ],
        {"input": 904, "cache_read": 4096, "output": 150, "reasoning": 500},
        (),
    ),
    (
        "a tool call after thoughts",
        [gemini(620, 15, 80)],
        {"input": 620, "output": 15, "reasoning": 80},
        (),
    ),
    (
        "audio has its own rate",
        [gemini(1500, 100, promptTokensDetails=heard(500, 1000))],
        {"input": 500, "input_audio": 1000, "output": 100},
        (),
    ),
    (
        "cached audio",
        [
            gemini(
                2500,
                10,
                cachedContentTokenCount=2000,
                promptTokensDetails=heard(700, 1800),
                cacheTokensDetails=heard(500, 1500),
            )
        ],
        {
            "input": 200,
            "input_audio": 300,
            "cache_read": 500,
            "cache_read_audio": 1500,
            "output": 10,
        },
        (),
    ),
    (
        "cached audio that must be",
        [gemini(1000, 10, cachedContentTokenCount=900, promptTokensDetails=heard(200, 800))],
        {"input_audio": 100, "cache_read": 200, "cache_read_audio": 700, "output": 10},
        ASSUMED,
    ),
    (
        "spoken answers",
        [gemini(10, 90, candidatesTokensDetails=heard(0, 90))],
        {"input": 10, "output_audio": 90},
        (),
    ),
    (
        "the prompt may be corrected downwards",
        [gemini(101, 5), gemini(100, 20)],
        {"input": 100, "output": 20},
        (),
    ),
    (
        "prompts of the provider's own tools",
        [gemini(100, 20, total=170, toolUsePromptTokenCount=50)],
        {"input": 150, "output": 20},
        (),
    ),
    (
        "a blocked prompt is billed",
        [{"promptTokenCount": 12, "totalTokenCount": 12}],
        {"input": 12},
        (),
    ),
    ("cut off", [gemini(1000, 4), gemini(1000, 40)], {"input": 1000, "output": 40}, ()),
    (
        "a grounded answer",
        [gemini(40, 200), {"web_search_requests": 1}],
        {"input": 40, "output": 200, "web_search": 1},
        (),
    ),
    (
        "more cached than there was",
        [gemini(10, 1, cachedContentTokenCount=99)],
        {"cache_read": 10, "output": 1},
        INCONSISTENT,
    ),
    (
        "a total that is something else",
        [gemini(100, 20, total=121)],
        {"input": 100, "output": 20},
        MISMATCH,
    ),
    (
        "a tier keeps the counts",
        [gemini(100, 20, trafficType="ON_DEMAND_FLEX")],
        {"input": 100, "output": 20},
        (),
    ),
]
