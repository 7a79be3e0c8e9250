"""Write caffe_port/proto/caffe.desc from caffe.proto. Needs protoc from grpcio-tools (in the ``test`` extra).

python tools/compile_proto.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent.parent / "caffe_port" / "proto" / "caffe.proto"


def compile_proto(output: Path) -> None:
    """Compile caffe.proto into the FileDescriptorSet ``output``."""
    status = protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={output}", PROTO.name])
    if status:
        sys.exit(f"protoc failed with status {status}")


if __name__ == "__main__":
    compile_proto(PROTO.with_suffix(".desc"))
