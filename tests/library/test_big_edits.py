"""Large edits that others overtake while what stays is copied."""

from library.helpers import several
from library.test_big_changes import aside, holds, large, weighed
from memory_cache import ContractMessage, open_cache
from support.valkey import ValkeyServer


async def test_edit_that_is_overtaken_amid_its_copy(valkey: ValkeyServer) -> None:
    """A large edit whose base is appended to begins again; nothing of its first try stays aside."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs, sent = cache.session("chat"), other.session("chat"), large(0, 900)
        await chat.append(sent)
        overtaken = list[bytes]()

        async def overtake(_: int) -> None:
            if not overtaken and (copied := aside(valkey)):
                overtaken.extend(copied)
                await theirs.append(several(0, 1))

        scale.on_slice, scale.least = overtake, 0
        sent[600] = several(600, 601)[0]
        sent += large(900, 300)
        await chat.put([ContractMessage("user", one["content"]) for one in sent], {})
        assert overtaken, "nothing was copied aside"
        page = await theirs.transcript()
        assert [one["content"] for one in page.messages] == [one["content"] for one in sent]
        await holds(theirs, page.messages, valkey)
        assert not aside(valkey)
