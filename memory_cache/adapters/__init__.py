"""
Sessions of agent frameworks, kept in memory-cache: one module per framework, each an extra.

``openai_agents``, ``google_adk``, ``llama_index``, ``langgraph``, ``langchain``, ``pydantic_ai``;
import the one you use, for none of them is imported here.
"""
