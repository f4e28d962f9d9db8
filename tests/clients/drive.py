"""Drives a Fieldmark server with public clients and says for each check whether it passed.

    python drive.py --http 127.0.0.1:8000 --grpc 127.0.0.1:8001 --packages DIR

DIR holds reference packages (see `tests/fixtures/reference/make.py`) whose `answers.json` says what the
original framework answered; the server serves those that it lists in its repository index. Clients:
`tritonclient` over HTTP with JSON, HTTP with binary tensors and gRPC; `prometheus_client`'s parser for the
metrics; `schemathesis` for the OpenAPI document. Ends with status 1 if any check failed.
"""

import argparse
import asyncio
import json
import pathlib
import queue
import subprocess
import sys
import threading
import traceback
import urllib.error
import urllib.request

import numpy as np
import prometheus_client.parser
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

RELATIVE, ABSOLUTE = 1e-5, 1e-6
SEED = "4"


def array(tensor):
    """A tensor of the protocol's JSON as numpy has it."""
    if tensor["datatype"] == "BYTES":
        values = np.array([text.encode() for text in tensor["data"]], dtype=np.object_)
    else:
        values = np.array(tensor["data"], dtype=triton_to_np_dtype(tensor["datatype"]))
    return values.reshape(tensor["shape"])


def same(found, expected):
    """Whether an output is what the original framework answered."""
    wanted = array(expected)
    assert found is not None, f"output {expected['name']} is missing"
    assert list(found.shape) == list(wanted.shape), f"{expected['name']}: {found.shape} for {wanted.shape}"
    if wanted.dtype == np.object_:
        texts = [one.encode() if isinstance(one, str) else one for one in found.ravel()]
        assert texts == list(wanted.ravel()), f"{expected['name']}: {texts}"
    elif np.issubdtype(wanted.dtype, np.floating):
        np.testing.assert_allclose(found, wanted, RELATIVE, ABSOLUTE, err_msg=expected["name"])
    else:
        np.testing.assert_array_equal(found, wanted, err_msg=expected["name"])


class Checks:
    """The checks by name, and what became of them."""

    def __init__(self, options):
        self.options = options
        self.http = over_http.InferenceServerClient(options.http)
        self.grpc = over_grpc.InferenceServerClient(options.grpc)
        self.cases = {}
        for row in self.http.get_model_repository_index():
            file = options.packages / row["name"] / "answers.json"
            if file.exists():
                self.cases[row["name"]] = json.loads(file.read_text())
        self.failed = []

    def run(self):
        assert self.cases, f"the server serves none of the packages in {self.options.packages}"
        for model, cases in self.cases.items():
            for at, case in enumerate(cases):
                where = f"{model}/{at}"
                self.check(f"json {where}", lambda: self.over_http(model, case, False, False))
                self.check(f"binary {where}", lambda: self.over_http(model, case, True, True))
                self.check(f"binary in, json out {where}", lambda: self.over_http(model, case, True, False))
                self.check(f"grpc {where}", lambda: self.over_grpc(model, case))
            self.check(f"compressed {model}", lambda: self.compressed(model, cases[0]))
            self.check(f"stream {model}", lambda: self.stream(model, cases))
            self.check(f"described alike {model}", lambda: self.metadata(model))
        for check in (
            self.health,
            self.versions,
            self.statistics,
            self.at_once,
            self.errors,
            self.unload_and_load,
            self.asynchronous,
            self.metrics,
            self.openapi,
            self.openapi_of_models,
        ):
            self.check(check.__name__, check)
        print(json.dumps({"models": sorted(self.cases), "failed": self.failed}))
        return 1 if self.failed else 0

    def check(self, name, work):
        try:
            work()
            print(f"ok      {name}", flush=True)
        except Exception:
            self.failed.append(name)
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)

    def over_http(self, model, case, binary_in, binary_out):
        inputs = []
        for tensor in case["request"]["inputs"]:
            one = over_http.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
            one.set_data_from_numpy(array(tensor), binary_data=binary_in)
            inputs.append(one)
        wanted = [over_http.InferRequestedOutput(o["name"], binary_data=binary_out) for o in case["outputs"]]
        answer = self.http.infer(model, inputs, outputs=wanted, request_id="reference 1")
        assert answer.get_response()["id"] == "reference 1"
        assert answer.get_response()["model_name"] == model
        for expected in case["outputs"]:
            same(answer.as_numpy(expected["name"]), expected)

    def grpc_inputs(self, case):
        inputs = []
        for tensor in case["request"]["inputs"]:
            one = over_grpc.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
            one.set_data_from_numpy(array(tensor))
            inputs.append(one)
        return inputs

    def over_grpc(self, model, case):
        answer = self.grpc.infer(model, self.grpc_inputs(case), request_id="reference 2")
        assert answer.get_response().id == "reference 2"
        for expected in case["outputs"]:
            same(answer.as_numpy(expected["name"]), expected)
        first = case["outputs"][0]["name"]
        wanted = [over_grpc.InferRequestedOutput(first)]
        answer = self.grpc.infer(model, self.grpc_inputs(case), outputs=wanted)
        assert [output.name for output in answer.get_response().outputs] == [first]

    def compressed(self, model, case):
        inputs = []
        for tensor in case["request"]["inputs"]:
            one = over_http.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
            one.set_data_from_numpy(array(tensor), binary_data=True)
            inputs.append(one)
        for algorithm in ("gzip", "deflate"):
            answer = self.http.infer(
                model,
                inputs,
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            for expected in case["outputs"]:
                same(answer.as_numpy(expected["name"]), expected)

    def stream(self, model, cases):
        answers = queue.Queue()
        with over_grpc.InferenceServerClient(self.options.grpc) as client:
            client.start_stream(callback=lambda result, error: answers.put((result, error)))
            for at, case in enumerate(cases):
                client.async_stream_infer(model, self.grpc_inputs(case), request_id=str(at))
            for at, case in enumerate(cases):
                result, error = answers.get(timeout=30)
                assert error is None, error
                assert result.get_response().id == str(at), "answers came out of order"
                for expected in case["outputs"]:
                    same(result.as_numpy(expected["name"]), expected)
            client.stop_stream()

    def metadata(self, model):
        rest = self.http.get_model_metadata(model)
        remote = self.grpc.get_model_metadata(model, as_json=True)
        for kind in ("inputs", "outputs"):
            over_wire = [{**one, "shape": [int(size) for size in one["shape"]]} for one in remote[kind]]
            assert rest[kind] == over_wire, (rest[kind], over_wire)
        assert rest["versions"] == remote["versions"] and rest["platform"] == remote["platform"]
        assert self.http.is_model_ready(model) and self.grpc.is_model_ready(model)
        assert self.http.get_model_config(model)["name"] == model
        assert self.grpc.get_model_config(model).config.name == model

    def health(self):
        for client in (self.http, self.grpc):
            assert client.is_server_live() and client.is_server_ready()
        rest, remote = self.http.get_server_metadata(), self.grpc.get_server_metadata(as_json=True)
        assert rest["name"] == remote["name"] == "fieldmark", rest
        assert rest["extensions"] == remote["extensions"]

    def versions(self):
        for model, cases in self.cases.items():
            version = self.http.get_model_metadata(model)["versions"][0]
            assert self.http.is_model_ready(model, version) and self.grpc.is_model_ready(model, version)
            answer = self.grpc.infer(model, self.grpc_inputs(cases[0]), model_version=version)
            assert answer.get_response().model_version == version
            assert not self.http.is_model_ready(model, "999.0.0")

    def statistics(self):
        for model in self.cases:
            (rest,) = self.http.get_inference_statistics(model)["model_stats"]
            (remote,) = self.grpc.get_inference_statistics(model, as_json=True)["model_stats"]
            assert rest["inference_stats"]["success"]["count"] > 0, rest
            assert int(remote["inference_count"]) >= rest["inference_count"] > 0
        everything = self.http.get_inference_statistics()["model_stats"]
        assert {row["name"] for row in everything} >= set(self.cases)

    def at_once(self):
        """Many requests of eight clients, over HTTP and gRPC, all answered right."""
        failures = []

        def work(at):
            try:
                client = over_http.InferenceServerClient(self.options.http)
                for step in range(40):
                    model = sorted(self.cases)[(at + step) % len(self.cases)]
                    case = self.cases[model][step % len(self.cases[model])]
                    if step % 3 == 0:
                        self.over_grpc(model, case)
                        continue
                    inputs = []
                    for tensor in case["request"]["inputs"]:
                        one = over_http.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
                        one.set_data_from_numpy(array(tensor), binary_data=step % 2 == 0)
                        inputs.append(one)
                    answer = client.infer(model, inputs)
                    for expected in case["outputs"]:
                        same(answer.as_numpy(expected["name"]), expected)
            except Exception:
                failures.append(traceback.format_exc())

        threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]

    def errors(self):
        model, cases = next(iter(sorted(self.cases.items())))
        tensor = cases[0]["request"]["inputs"][0]
        wrong = over_http.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        wrong.set_data_from_numpy(array(tensor), binary_data=True)
        wrong.set_shape([*tensor["shape"], 2])
        self.refused(lambda: self.http.infer(model, [wrong]), "40")
        self.refused(lambda: self.http.infer("no-such-model", [wrong]), "404")
        self.refused(lambda: self.http.infer(model, []), "400")
        remote = over_grpc.InferInput("nobody", [1], "FP32")
        remote.set_data_from_numpy(np.zeros(1, np.float32))
        self.refused(lambda: self.grpc.infer(model, [remote]), "INVALID_ARGUMENT")
        self.refused(lambda: self.grpc.infer("no-such-model", [remote]), "NOT_FOUND")
        for body in (b"", b"{", b'{"inputs": 3}', b"[" * 10_000, b"\xff\xfe"):
            request = urllib.request.Request(f"http://{self.options.http}/v2/models/{model}/infer", body)
            request.add_header("Content-Type", "application/json")
            try:
                urllib.request.urlopen(request)
                raise AssertionError(f"{body[:20]} was taken")
            except urllib.error.HTTPError as error:
                assert error.code == 400, (error.code, body[:20])
                assert json.loads(error.read())["error"]

    def refused(self, work, sign):
        try:
            work()
        except InferenceServerException as error:
            assert sign in str(error.status()), (sign, error)
            assert error.message(), "an error without words"
            return
        raise AssertionError(f"taken, {sign} expected")

    def unload_and_load(self):
        model, cases = next(iter(sorted(self.cases.items())))
        self.http.unload_model(model)
        assert not self.http.is_model_ready(model)
        self.refused(lambda: self.grpc.infer(model, self.grpc_inputs(cases[0])), "")
        (row,) = [row for row in self.grpc.get_model_repository_index().models if row.name == model]
        assert row.state == "UNAVAILABLE", row
        self.grpc.load_model(model)
        assert self.http.is_model_ready(model)
        self.over_grpc(model, cases[0])

    def asynchronous(self):
        """The client for asyncio, whose bodies come under a content type of their own."""
        model, cases = next(iter(sorted(self.cases.items())))

        async def drive():
            client = over_http_aio.InferenceServerClient(self.options.http)
            await client.unload_model(model)
            assert not await client.is_model_ready(model)
            await client.load_model(model)
            assert await client.is_model_ready(model)
            assert any(row["name"] == model for row in await client.get_model_repository_index())
            inputs = []
            for tensor in cases[0]["request"]["inputs"]:
                one = over_http_aio.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
                one.set_data_from_numpy(array(tensor))
                inputs.append(one)
            answer = await client.infer(model, inputs)
            for expected in cases[0]["outputs"]:
                same(answer.as_numpy(expected["name"]), expected)
            await client.close()

        asyncio.run(drive())

    def metrics(self):
        text = urllib.request.urlopen(f"http://{self.options.http}/metrics").read().decode()
        found = {}
        for family in prometheus_client.parser.text_string_to_metric_families(text):
            assert family.documentation, f"{family.name} says nothing about itself"
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
        for name in (
            "nv_inference_request_success",
            "nv_inference_request_failure",
            "nv_inference_count",
            "nv_inference_exec_count",
            "nv_inference_request_duration_us",
            "nv_inference_queue_duration_us",
            "nv_inference_compute_infer_duration_us",
            "nv_inference_pending_request_count",
        ):
            # A counter's samples carry the suffix `_total` in some versions of the format.
            samples = found.get(name) or found.get(f"{name}_total")
            assert samples, f"{name} is missing among {sorted(found)}"
            models = {sample.labels.get("model") for sample in samples}
            assert models >= set(self.cases), (name, models)
        success = found.get("nv_inference_request_success") or found["nv_inference_request_success_total"]
        assert all(sample.value > 0 for sample in success if sample.labels["model"] in self.cases)

    def openapi(self):
        """The document as it is: names are made up, so most answers are refusals."""
        self.schemathesis([f"http://{self.options.http}/v2/openapi.json"])

    def openapi_of_models(self):
        """The document with the names of the models that are served, so that answers are real.

        No document can say what fits each model, so whether data is taken or refused is not judged here.
        """
        with urllib.request.urlopen(f"http://{self.options.http}/v2/openapi.json") as answer:
            document = json.load(answer)
        known = {"model": sorted(self.cases), "version": ["1.0.0"]}
        shared = document.get("components", {}).get("parameters", {}).values()
        listed = [item for path in document["paths"].values() for item in path.get("parameters", [])]
        for path in document["paths"].values():
            for operation in path.values():
                listed += operation.get("parameters", []) if isinstance(operation, dict) else []
        named = [one for one in [*shared, *listed] if one.get("name") in known]
        assert named, "no parameter of the document names a model"
        for parameter in named:
            parameter["schema"] = {"type": "string", "enum": known[parameter["name"]]}
        file = pathlib.Path(self.options.scratch) / "openapi.json"
        file.write_text(json.dumps(document))
        server = ["--url", f"http://{self.options.http}"]
        unjudged = ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
        # Models that are unloaded meanwhile would only bring refusals again.
        self.schemathesis([str(file), *server, *unjudged, "--exclude-path-regex", "unload"])

    def schemathesis(self, which):
        command = [sys.executable, "-m", "schemathesis.cli", "run", *which, "--checks", "all"]
        command += ["--max-examples", str(self.options.examples), "--seed", SEED, "--no-color"]
        command += ["--suppress-health-check", "all", "--request-timeout", "60"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.options.scratch)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", required=True)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--packages", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", default=".", help="where schemathesis may write")
    parser.add_argument("--examples", type=int, default=15, help="of schemathesis, for each operation")
    sys.exit(Checks(parser.parse_args()).run())


if __name__ == "__main__":
    main()
