# The conversation with the supervisor: one request at a time, until it says goodbye or closes its end.
#
# `predict.py` offers `predict(model, inputs)` and, if it has something to load, `load(folder)`. Both are called in
# this process; what they raise is one line to the supervisor, with the exception's type and where it was raised.

import json
import os
import sys
import time

EXIT_ISOLATION = 3
EXIT_PROTOCOL = 4
# RunnerFailureCode.
PROTOCOL, ISOLATION, ARTIFACT, INPUT, MODEL, OUTPUT, MEMORY = 1, 2, 3, 4, 5, 6, 7
MESSAGE_CHARACTERS_MAX = 600
# The memory shared with the supervisor, where outputs above so many bytes go, from multiples of so many on.
ARENA_DESCRIPTOR = 4
SHARED_BYTES_MIN = 64 << 10
ALIGNMENT = 8


class Failure(Exception):
    """A request that was not answered: whose fault it is, and one line for a person."""

    def __init__(self, code, line):
        line = "".join(c if c.isprintable() else " " for c in line)
        if len(line) > MESSAGE_CHARACTERS_MAX:
            line = line[:MESSAGE_CHARACTERS_MAX] + "…"
        super().__init__(line)
        self.code, self.line = code, line


class Model:
    """The package's predict.py, loaded."""

    def __init__(self, settings, input_names, output_names):
        self.input_names, self.output_names = input_names, output_names
        self.folder, self.entry = settings["package"], settings["entry"]
        folders = [os.path.dirname(self.entry), settings.get("environment")]
        sys.path.extend(folder for folder in folders if folder)
        self.numpy = self._numpy(settings)
        module = self._guarded(ARTIFACT, "importing it", self._import)
        self.predict = getattr(module, "predict", None)
        if not callable(self.predict):
            raise Failure(ARTIFACT, f"{self._name()} has no function predict(model, inputs)")
        load = getattr(module, "load", None)
        self.model = None
        if load is not None:
            import pathlib

            self.model = self._guarded(ARTIFACT, "load(folder)", lambda: load(pathlib.Path(self.folder)))

    def run(self, tensors):
        """Outputs as (name, datatype, shape, data, texts), and seconds within predict."""
        given = {}
        for name, datatype, shape, data, texts in tensors:
            if self.input_names and name not in self.input_names:
                raise Failure(INPUT, f"input {name!r} is not one of {', '.join(self.input_names)}")
            if name in given:
                raise Failure(INPUT, f"input {name!r} is given twice")
            try:
                given[name] = decoded(name, datatype, shape, data, texts, self.numpy)
            except WrongInput as error:
                raise Failure(INPUT, str(error)) from None
        missing = [name for name in self.input_names if name not in given]
        if missing:
            raise Failure(INPUT, f"input {missing[0]!r} is missing")
        started = time.monotonic()
        answer = self._guarded(MODEL, "predict(model, inputs)", lambda: self.predict(self.model, given))
        seconds = time.monotonic() - started
        return self._guarded(OUTPUT, "reading what predict returned", lambda: self._outputs(answer)), seconds

    def _outputs(self, answer):
        if not isinstance(answer, dict):
            if len(self.output_names) != 1:
                kind = type(answer).__name__
                raise Failure(OUTPUT, f"predict returned a {kind}; return a dict with one value per output")
            answer = {self.output_names[0]: answer}
        names = self.output_names or list(answer)
        missing = [name for name in names if name not in answer]
        if missing:
            raise Failure(OUTPUT, f"output {missing[0]!r} is missing from what predict returned")
        extra = [name for name in answer if name not in names]
        if extra:
            raise Failure(OUTPUT, f"predict returned {str(extra[0])!r}, which is no output of the manifest")
        return [(name, *encoded(name, answer[name])) for name in names]

    def _numpy(self, settings):
        environment = settings.get("environment")
        if not environment or not os.path.isdir(os.path.join(environment, "numpy")):
            return None

        def load():
            import numpy

            return numpy

        return self._guarded(ARTIFACT, "importing numpy", load)

    def _import(self):
        import importlib.util

        spec = importlib.util.spec_from_file_location("predict", self.entry)
        if spec is None or spec.loader is None:
            raise Failure(ARTIFACT, f"{self._name()} is no Python file; the entry of a package is predict.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["predict"] = module
        spec.loader.exec_module(module)
        return module

    def _name(self):
        return os.path.relpath(self.entry, self.folder)

    def _guarded(self, code, what, work):
        try:
            return work()
        except Failure:
            raise
        except WrongOutput as error:
            raise Failure(OUTPUT, str(error)) from None
        except MemoryError as error:
            raise Failure(MEMORY, f"{what}: MemoryError: {error}") from None
        except BaseException as error:
            raise Failure(code, f"{what}: {_one_line(error, self.folder)}") from None


def _one_line(error, folder):
    """The exception's type, its message, and the package's own line that led to it."""
    place, at = "", error.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if name.startswith(folder + os.sep):
            place = f" ({os.path.relpath(name, folder)}, line {at.tb_lineno})"
        at = at.tb_next
    try:
        words = str(error)
    except BaseException:
        words = "its message cannot be shown"
    kind = type(error).__name__
    return f"{kind}: {words}{place}" if words else f"{kind}{place}"


class Arena:
    """The memory shared with the supervisor, mapped from descriptor 4."""

    def __init__(self, length):
        import mmap

        self.view = memoryview(mmap.mmap(ARENA_DESCRIPTOR, length))
        os.close(ARENA_DESCRIPTOR)

    def part(self, offset, length):
        if offset + length > len(self.view):
            raise Failure(INPUT, "a range outside of the shared memory")
        return self.view[offset : offset + length]


class Region:
    """Where outputs of one request may go."""

    def __init__(self, arena, offset, length):
        self.arena, self.next, self.end = arena, -(-offset // ALIGNMENT) * ALIGNMENT, offset + length
        arena.part(offset, length)

    def place(self, data):
        """Puts `data` there and tells where; None if it does not fit."""
        if self.next + len(data) > self.end:
            return None
        at = self.next
        self.arena.view[at : at + len(data)] = data
        self.next = -(-(at + len(data)) // ALIGNMENT) * ALIGNMENT
        return at


def _range(view):
    offset = length = 0
    for field, value in fields(message(view)):
        if field == 1:
            offset = value
        elif field == 2:
            length = value
    return offset, length


def _tensor(view, arena):
    name, datatype, shape, data, texts, shared = "", "", [], memoryview(b""), [], []
    for field, value in fields(message(view)):
        if field == 1:
            name = plain(message(value))
        elif field == 2:
            datatype = plain(message(value))
        elif field == 3:
            shape.extend(numbers(value))
        elif field == 4:
            data = message(value)
        elif field == 5:
            texts.append(message(value))
        elif field == 6:
            if arena is None:
                raise Failure(INPUT, "a tensor in shared memory, and there is none")
            shared.append(arena.part(*_range(value)))
    if len(shared) == 1:
        data = shared[0]
    elif shared:
        data = memoryview(b"".join(shared))
    return name, datatype, shape, data, texts


def _tensor_parts(name, datatype, shape, data, texts, region):
    parts = [text(1, name), text(2, datatype)]
    if shape:
        parts += nested(3, [b"".join(varint(size) for size in shape)])
    at = region.place(data) if region is not None and len(data) > SHARED_BYTES_MIN else None
    if at is not None:
        parts += nested(6, [number(1, at), number(2, len(data))])
    elif len(data):
        parts += nested(4, [data])
    for one in texts:
        parts += nested(5, [one])
    return parts


class Server:
    """The state of the conversation."""

    def __init__(self, settings):
        self.settings = settings
        self.channel = Channel(3, settings["frame_bytes_max"])
        self.arena = Arena(settings["arena_bytes"]) if settings["arena_bytes"] else None
        self.model = None

    def answer(self, field, parts):
        self.channel.write(nested(field, parts))

    def fail(self, request, failure):
        self.answer(5, [number(1, request), number(2, failure.code), text(3, failure.line)])

    def ready(self, layers):
        parts = [part for layer in layers for part in nested(1, [layer.encode()])]
        parts += [number(2, self.settings["threads"]), text(3, "cpu"), number(4, self.channel.limit)]
        parts += [text(5, "python"), number(6, self.settings["arena_bytes"])]
        self.answer(1, parts)

    def serve(self):
        """Serves until goodbye, or until there is nothing to serve."""
        while True:
            frame = self.channel.read()
            if frame is None:
                return
            for field, value in fields(frame):
                if field == 4:
                    return
                if not self._handle(field, message(value)):
                    return

    def _handle(self, field, body):
        if field == 1 and self.model is None:
            return self._load(body)
        if field == 2 and self.model is not None:
            self._infer(body)
            return True
        if field == 3 and self.settings["isolated"]:
            checks = []
            for name, denied, detail in attempts(self.settings["calls"]):
                checks += nested(1, [text(1, name), number(2, int(denied)), text(3, detail)])
            self.answer(4, checks)
            return True
        words = "a request out of order: load comes first and once, and the self test needs isolation"
        self.fail(0, Failure(PROTOCOL, words))
        return False

    def _load(self, body):
        started, artifact, inputs, outputs = time.monotonic(), 0, [], []
        for field, value in fields(body):
            if field == 1:
                artifact = value
            elif field == 2:
                inputs.append(plain(message(value)))
            elif field == 3:
                outputs.append(plain(message(value)))
        self.channel.skip(artifact)
        try:
            self.model = Model(self.settings, inputs, outputs)
        except Failure as failure:
            self.fail(0, failure)
            return False
        self.answer(2, [number(1, _micros(time.monotonic() - started))])
        return True

    def _infer(self, body):
        request, given, region = 0, [], None
        for field, value in fields(body):
            if field == 1:
                request = value
            elif field == 2:
                given.append(value)
            elif field == 3:
                region = value
        try:
            if region is not None and self.arena is not None:
                region = Region(self.arena, *_range(region))
            outputs, seconds = self.model.run([_tensor(one, self.arena) for one in given])
            parts = [number(1, request)]
            for output in outputs:
                parts += nested(2, _tensor_parts(*output, region))
            parts.append(number(3, _micros(seconds)))
            try:
                self.answer(3, parts)
            except TooLong as error:
                raise Failure(OUTPUT, f"{error}; send fewer records at once") from None
        except MemoryError:
            self.fail(request, Failure(MEMORY, "the answer takes more memory than allowed"))
        except Failure as failure:
            self.fail(request, failure)


def _micros(seconds):
    return max(0, int(seconds * 1_000_000))


def main(settings):
    server = Server(settings)
    layers = list(settings["layers"])
    if settings["isolated"]:
        try:
            confine(bytes.fromhex(settings["filter"]), settings["calls"], ["execve", "socket", "fork"])
        except NotConfined as error:
            line = f"isolation layer seccomp-without-execve is not in force: {error}"
            server.fail(0, Failure(ISOLATION, line))
            return EXIT_ISOLATION
        layers.append("seccomp-without-execve")
    try:
        server.ready(layers)
        server.serve()
        return 0
    except (Broken, OSError) as error:
        print(f"fieldmark-runner-python: {error}", file=sys.stderr)
        return EXIT_PROTOCOL


__fieldmark__ = json.loads(sys.argv.pop(1))
sys.exit(main(__fieldmark__))
