"""One whole test: a user's story on a server that dies."""

from __future__ import annotations

import random
import time
from pathlib import Path

from books import add_snapshot, check_books
from lives import Lives, Plan
from story import Story
from user import PATIENCE, User

_ROUNDS_MAX = 60


def _set_up(user: User) -> None:
    user.note("begun")
    feature = (
        f"/subscriptions/{user.subscription}/providers/Microsoft.Features/providers/"
        "Microsoft.ContainerService/features/ManagedGPUExperiencePreview"
    )
    user.ask("POST", f"{feature}/register", None, "2021-07-01")
    while True:
        answer = user.ask("GET", feature, None, "2021-07-01").json()
        if answer["properties"]["state"] == "Registered":
            return
        time.sleep(0.05)


def _check(user: User, lives: Lives, story: Story, store: str) -> None:
    """End the server in peace, audit what it left, and start it again."""
    nodes = story.check()
    for url, what in user.operations.items():
        state = user.state(url)
        assert state == user.ended[url], f"{what}: {user.ended[url]} became {state}"
    assert lives.server.stop() == 0
    check_books(lives.server.data_dir, nodes, store)


def _round(user: User, lives: Lives, number: int, store: str) -> None:
    story = Story(user, f"c{number}")
    for step, do in story.steps().items():
        lives.enter(step)
        began = time.monotonic()
        user.note(f"c{number}: {step}")
        do()
        lives.leave()
        story.check()
        seconds = time.monotonic() - began
        print(f"  c{number}: {step}; {seconds:.1f} s, {lives.kills.total()} kills", flush=True)
        if step in {"delete a pool", lives.until}:
            _check(user, lives, story, store)
        if step == lives.until:
            return
    _check(user, lives, story, store)


def tell(
    root: Path,
    seed: str,
    plan: Plan,
    *,
    store: str = "",
    bug: str = "",
    patience: float = PATIENCE,
) -> Lives:
    """Let the user live through rounds of the story until every planned kill has happened."""
    config = f'[server]\nstore = "{store}"\n' if store else ""
    lives = Lives(root, random.Random(seed), plan, config=config, bug=bug)
    user = None
    try:
        lives.begin()
        variables = lives.server.variables()
        lives.server.stop()
        add_snapshot(lives.server.data_dir, variables["AZURE_SUBSCRIPTION_ID"], store)
        lives.begin()
        user = User(variables, lives.revive, lives.tick, patience=patience)
        _set_up(user)
        for number in range(1, _ROUNDS_MAX):
            _round(user, lives, number, store)
            if lives.is_done:
                break
    except BaseException:
        print(f"seed {seed}, at {lives.step!r}")
        print(lives.server.log()[-6000:])
        raise
    finally:
        if user is not None:
            user.close()
        if lives.server.process is not None:
            lives.server.kill()
        print(lives.report())
    return lives
