"""E-mail: classified, answered or filed by kind; what fails is put aside and the rest goes on."""

from enum import StrEnum

from pydantic import BaseModel

from agentvm import agent, llm, tool

LOG: list[str] = []


class Kind(StrEnum):
    SPAM = "spam"
    QUESTION = "question"
    INVOICE = "invoice"


class Mail(BaseModel):
    id: int
    sender: str
    body: str


class MailboxError(Exception):
    """The mailbox refused."""


@tool
async def send(to: str, text: str) -> None:
    if to == "nobody":
        raise MailboxError(f"{to} bounces")
    LOG.append(f"to {to}: {text}")


@tool
async def move(mail: int, folder: str) -> None:
    LOG.append(f"{mail} -> {folder}")


@agent
async def handle(mail: Mail) -> str:
    kind = await llm(f"Classify: {mail.body}", returns=Kind)
    match kind:
        case Kind.SPAM:
            await move(mail.id, "junk")
        case Kind.INVOICE:
            await move(mail.id, "accounting")
            await send("accounting", await llm(f"Summarise {mail.body}"))
        case Kind.QUESTION:
            draft = await llm(f"Reply to {mail.body}")
            polite = draft if "please" in draft else await llm(f"Make polite: {draft}")
            await send(mail.sender, polite)
    return kind.value


@agent
async def inbox(mails: list[Mail]) -> dict[str, list[int]]:
    done: dict[str, list[int]] = {"failed": []}
    for mail in mails:
        try:
            kind = await handle(mail)
        except MailboxError as error:
            await move(mail.id, f"failed ({error})")
            done["failed"].append(mail.id)
        else:
            done.setdefault(kind, []).append(mail.id)
        finally:
            await move(mail.id, "seen")
    return done


def script(call):
    if call.prompt.startswith("Classify"):
        return next((kind for kind in Kind if kind in call.prompt), Kind.QUESTION)
    return call.prompt.lower()[-24:]


MAILS = [
    Mail(id=1, sender="ann", body="a question please"),
    Mail(id=2, sender="bob", body="spam"),
    Mail(id=3, sender="nobody", body="hello?"),
    Mail(id=4, sender="shop", body="your invoice"),
]
CASES = [(inbox, (MAILS,), {}), (inbox, ([],), {}), (handle, (MAILS[2],), {})]
