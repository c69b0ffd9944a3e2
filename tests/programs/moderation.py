"""Moderation: cheap rules first, then the model, then a second opinion; every verdict is recorded."""

from agentvm import agent, llm, tool

LOG: list[str] = []
BANNED = frozenset({"spamword", "badword"})


class Blocked(Exception):
    """A post is not to be published."""


@tool
async def audit(post: str, verdict: str) -> None:
    LOG.append(f"{verdict}: {post}")


@agent
async def judge(post: str, strict: bool) -> str:
    if not post.strip() or BANNED & set(post.lower().split()):
        return "reject"
    score = await llm(f"Toxicity of {post}", returns=float)
    if score < 0.2 or (not strict and score < 0.4 and await llm(f"Ironic? {post}") == "yes"):
        return "accept"
    return "reject" if score > 0.9 else await llm(f"Second opinion on {post}")


@agent
async def moderate(posts: list[str], strict: bool = False) -> list[str]:
    published: list[str] = []
    for post in posts:
        try:
            verdict = await judge(post, strict)
            if verdict != "accept":
                raise Blocked(verdict)
            published.append(post)
        except Blocked as blocked:
            await audit(post, f"blocked by {blocked}")
        else:
            await audit(post, "published")
    return published


def script(call):
    if call.prompt.startswith("Toxicity"):
        return {"nice": 0.1, "meh": 0.3, "rude": 0.6, "vile": 0.95}.get(call.prompt.split()[-1], 0.5)
    if call.prompt.startswith("Ironic"):
        return "yes"
    return "accept" if "rude" in call.prompt else "escalate"


CASES = [
    (moderate, (["so nice", "a meh", "quite rude", "vile", "a Badword", " ", "odd"],), {}),
    (moderate, (["a meh", "vile"],), {"strict": True}),
]
