"""``caffe-port draw``."""

from __future__ import annotations

import click

from caffe_port.cli.options import level_option, split_stages, stage_option, unknown, unknown_option


@click.command(
    "draw",
    short_help="Draw a net as SVG, PNG or PDF.",
    epilog="Example: caffe-port draw train_val.prototxt net.svg --phase TRAIN --lr-mult",
)
@click.argument("net", metavar="NET")
@click.argument("picture", metavar="OUT")
@click.option(
    "--rankdir",
    type=click.Choice(["TB", "LR", "BT", "RL"]),
    default="TB",
    show_default=True,
    help="Direction of the data: from the Top to the Bottom, from Left to Right, or the other way round.",
)
@click.option(
    "--phase", type=click.Choice(["TRAIN", "TEST"]), help="Draw the net of this phase.  [default: all layers]"
)
@level_option
@stage_option
@click.option("--lr-mult", "rates", is_flag=True, help="Show the learning rate multipliers.")
@click.option("--shapes", is_flag=True, help="Show the shapes of blobs; the data of NET must be there.")
@unknown_option
def draw(
    net: str,
    picture: str,
    rankdir: str,
    phase: str | None,
    level: int,
    stage: str,
    rates: bool,
    shapes: bool,
    allow_unknown: bool,
) -> None:
    """Draw NET, a prototxt of any age, as OUT (.svg, .png or .pdf). No graph program is needed.

    Boxes are layers, coloured by kind, with the in-place layers that follow them; ovals are blobs. Without --phase the
    layers of all phases, levels and stages are drawn.
    """
    from caffe_port.draw import draw_to_file
    from caffe_port.net.filter import net_state
    from caffe_port.net.summary import build_graph
    from caffe_port.proto.files import read_net

    if phase is None and (level or stage or shapes):
        raise click.UsageError("--level, --stage and --shapes need --phase.")
    net_param = read_net(net, unknown(allow_unknown), blobs=False)
    state = net_state(phase, level, split_stages(stage)) if phase else None
    known = build_graph(net_param, state, net).blob_shapes if shapes else None
    draw_to_file(net_param, picture, rankdir, state=state, rates=rates, shapes=known)
    click.echo(f"Wrote {picture}")
