/** Money and token counts: exact sums of decimal strings, and how people read them. */

const PICO_DIGITS = 12;
const LEAST_SIGNIFICANT = 4;

/** The decimal string as an integer of 1e-12; null stays null. */
export function toPico(decimal) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(decimal ?? "");
  if (!match) return null;
  const [, sign, whole, fraction = ""] = match;
  const pico = BigInt(whole + fraction.slice(0, PICO_DIGITS).padEnd(PICO_DIGITS, "0"));
  return sign ? -pico : pico;
}

export function fromPico(pico) {
  const digits = (pico < 0n ? -pico : pico).toString().padStart(PICO_DIGITS + 1, "0");
  const fraction = digits.slice(-PICO_DIGITS).replace(/0+$/, "");
  const whole = digits.slice(0, -PICO_DIGITS);
  return (pico < 0n ? "-" : "") + (fraction ? `${whole}.${fraction}` : whole);
}

/** For reading, never shown as nothing: at least four significant digits, no exponent. */
export function format(decimal, currency = "USD") {
  const amount = Number(decimal);
  if (decimal === null || decimal === undefined || !Number.isFinite(amount)) return "no price";
  const sign = currency === "USD" ? "$" : `${currency} `;
  return sign + digitsOf(amount);
}

function digitsOf(amount) {
  if (amount === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(amount)));
  const decimals = Math.max(2, LEAST_SIGNIFICANT - 1 - exponent);
  const fixed = amount.toFixed(Math.min(decimals, 20));
  return fixed.replace(/(\.\d{2,}?)0+$/, "$1");
}

export function formatTokens(count) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? "token" : "tokens"}`;
}

/** "≈ $0.0001234 · 1,234 tokens"; the mark says that the provider has not confirmed it. */
export function formatCost({ total, currency, isEstimated, promptTokens, completionTokens }) {
  const tokens = formatTokens(promptTokens + completionTokens);
  return `${isEstimated ? "≈ " : ""}${format(total, currency)} · ${tokens}`;
}

/** What a model costs per million tokens, in words for a label. */
export function formatPrice(price) {
  if (!price) return "no price";
  if (Number(price.input) === 0 && Number(price.output) === 0) return "free";
  const [input, output] = [price.input, price.output].map((rate) => format(rate, price.currency));
  return `${input} in · ${output} out per 1M`;
}

const WHOSE_BUDGET = {
  everything: "the whole budget",
  user: "your budget",
  api_key: "the API key's budget",
  session: "this conversation's budget",
  model: "the model's budget",
};

/** "80 % of your budget for today is used." */
export function budgetWords({ scope, period, percent }) {
  const time = period === "day" ? "today" : "this month";
  return `${percent} % of ${WHOSE_BUDGET[scope] ?? "a budget"} for ${time} is used.`;
}
