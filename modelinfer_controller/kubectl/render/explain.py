"""The explanation as lines of text."""

from collections.abc import Iterator

from modelinfer_controller.kubectl.model.explanation import Explanation, GroupExplanation, Next
from modelinfer_controller.kubectl.model.humanize import clock_time, groups, span
from modelinfer_controller.kubectl.render.terminal import Terminal, Tone
from modelinfer_controller.kubectl.render.text import visible, wrapped

LABEL = 8  # columns before the text of a line


def explanation_lines(explanation: Explanation, terminal: Terminal) -> list[str]:
    return list(_lines(explanation, terminal))


def _lines(explanation: Explanation, terminal: Terminal) -> Iterator[str]:
    tone = Tone.GOOD if explanation.available_groups >= explanation.replicas else Tone.BAD
    yield from terminal.headline(f"{explanation.namespace}/{explanation.name}", explanation.summary, tone)
    for remark in explanation.remarks:
        yield from _labelled("note", remark, terminal, Tone.BUSY)
    for group in explanation.groups:
        yield ""
        yield from _group(group, explanation, terminal)
    for each in explanation.waiting:
        yield ""
        for line in terminal.wrap(groups(each.ordinals)):
            yield terminal.paint(line, Tone.STRONG)
        yield from _next(each.next, terminal)
    if explanation.other_next:
        yield ""
        for step in explanation.other_next:
            yield from _next(step, terminal)


def _group(group: GroupExplanation, explanation: Explanation, terminal: Terminal) -> Iterator[str]:
    head = f"group {group.ordinal}"
    if group.since is not None:
        head += f"  not available for {span(explanation.time - group.since)}, since {clock_time(group.since)}"
    for line in terminal.wrap(head):
        yield terminal.paint(line, Tone.STRONG)
    message = group.message if group.reason in group.message else f"{group.reason}: {group.message}"
    yield from _labelled("why", message, terminal, Tone.BAD)
    for detail in group.details:
        yield from _labelled("", detail, terminal)
    for at, line in enumerate(group.log):
        yield from _labelled("log" if at == 0 else "", line if at == 0 else f"| {line}", terminal, Tone.FAINT)
    for step in group.next:
        yield from _next(step, terminal)


def _next(step: Next, terminal: Terminal) -> Iterator[str]:
    yield from _labelled("next", step.text, terminal, Tone.BUSY if step.rule else Tone.PLAIN)


def _labelled(label: str, text: str, terminal: Terminal, tone: Tone = Tone.PLAIN) -> Iterator[str]:
    """The text after a label in a column of its own, broken where the terminal ends."""
    text = visible(" ".join(text.split()))
    width = None if terminal.width is None else max(terminal.width - LABEL, 20)
    lines = [text] if width is None else wrapped(text, width)
    for at, line in enumerate(lines):
        yield terminal.paint(f"  {label if at == 0 else '':<{LABEL - 2}}", Tone.FAINT) + terminal.paint(line, tone)
