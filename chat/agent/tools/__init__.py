"""The tools an agent may use. A new tool is one file and one line here."""

from langchain_core.tools import BaseTool

from chat.agent.tools.calculator import calculator
from chat.agent.tools.chart import chart
from chat.agent.tools.clock import clock

TOOLS: dict[str, BaseTool] = {"calculator": calculator, "chart": chart, "clock": clock}
