"""LangGraph on AgentVM: its checkpoints in AgentVM's stores, its model calls with deadlines.

    graph = builder.compile(checkpointer=AgentVMSaver("sqlite+aiosqlite:///runs.db"))

    model = ChatAgentVM(llm="openai:http://localhost:8000/v1#small")
    with deadline("20s"):
        graph.invoke(question, {"configurable": {"thread_id": "1"}})

Needs `pip install 'agentvm[langgraph]'`.
"""

from .chat import ChatAgentVM, deadline
from .saver import AgentVMSaver

__all__ = ["AgentVMSaver", "ChatAgentVM", "deadline"]
