"""What the worker that answers has counted since it began."""

import os
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from memory_cache_server.rendering import json_response
from memory_cache_server.services import services_of

router = APIRouter()


@router.get("/v1/statistics")
async def statistics(request: Request) -> Response:
    """
    Answer the counters of one worker, the one that took this connection: each has its own.

    `pid` says which, `workers` how many there are. `hit_ratio` is of the reads that came as far
    as the near cache: answers that were still right when asked for again are hits, too; null
    before the first read.
    """
    services = services_of(request)
    counted = services.cache.statistics()
    return json_response(
        {
            "pid": os.getpid(),
            "workers": services.settings.workers,
            "hit_ratio": counted.hits / counted.reads if counted.reads else None,
            **asdict(counted),
        }
    )
