"""Records what the package tensorboard 2.21.0 writes for the events of MetricsTests.swift: python make.py > events.json"""

import io
import json

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def framed(event):
    stream = io.BytesIO()
    RecordWriter(stream).write(event.SerializeToString())
    return stream.getvalue().hex()


def main():
    values = [("lm loss", 1.234567), ("learning-rate", 2.5e-5), ("grad-norm", 300.75)]
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values])
    log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    print(json.dumps({
        "version": framed(event_pb2.Event(wall_time=1767261600.25, file_version="brain.Event:2")),
        "scalars": framed(event_pb2.Event(wall_time=1767261600.5, step=70000, summary=summary)),
        "restart": framed(event_pb2.Event(wall_time=1767261600.75, step=301, session_log=log)),
    }, indent=1))


if __name__ == "__main__":
    main()
