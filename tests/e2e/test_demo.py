"""What is the demo's own: it stops everything when one of its processes dies, where a deployment starts that one again."""

import psutil
import pytest

from tests.e2e.runs import Demo, deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_dead_child_stops_everything_with_its_name_and_last_lines(tmp_path):
    with Demo(tmp_path).trading() as run:
        run.until_trading()
        everyone = run.head.children(recursive=True)
        run.flows["cache"].kill()
        _, err = run.process.communicate(timeout=90)

    assert run.process.returncode != 0
    assert "cache ended with exit code -9" in err
    assert not [c for c in everyone if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.platform
def test_deployed_a_dead_flow_is_named_and_started_again_and_nothing_is_lost_or_counted_twice(platform, tmp_path):
    with deployed(platform, tmp_path) as desk, desk.trading() as run:
        run.until_trading()
        everyone = run.flows
        for name in ("cache", "archive"):
            everyone[name].kill()
        run.until_trading(beyond=run.fills())
        run.end()  # log, lake and API agree

        again = {flow.name: flow for flow in desk.flows()}
        assert {name for name, flow in again.items() if flow.restarts} == {"cache-paper", "archive"}
        assert [again[name].exit_code for name in ("cache-paper", "archive")] == [-9, -9]
        assert '"event":"flow.died","name":"cache-paper"' in (desk.root / "logs" / "flows.out").read_text()
