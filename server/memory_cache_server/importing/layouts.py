"""The names of the layouts that a Redis may have; importing this needs nothing."""

from typing import Final

AGENT_MEMORY: Final = "agent-memory-server"

OPENAI_AGENTS: Final = "openai-agents"
LANGCHAIN: Final = "langchain"
LLAMA_INDEX: Final = "llama-index"

LAYOUT_NAMES: Final = (OPENAI_AGENTS, LANGCHAIN, LLAMA_INDEX)
"""Those of frameworks, which keep lists."""
