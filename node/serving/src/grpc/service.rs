//! The methods of the service.

use std::pin::Pin;
use std::time::Instant;

use fieldmark_tensors::TensorSpec;
use futures::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::proto::grpc_inference_service_server::GrpcInferenceService;
use super::proto::model_metadata_response::TensorMetadata;
use super::{convert, proto};
use crate::memory::Part;
use crate::options::Shared;
use crate::statistics::Total;
use crate::{EXTENSIONS, Failure, SERVER_NAME, SERVER_VERSION, State, Stop, VersionSnapshot};

/// Room for a message that an idle stream may keep.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    shared: Shared,
    stop: Stop,
}

impl Service {
    pub(super) fn new(shared: Shared, stop: Stop) -> Self {
        Self { shared, stop }
    }

    async fn infer(&self, message: proto::ModelInferRequest) -> Result<proto::ModelInferResponse, Failure> {
        let span = tracing::info_span!(
            "infer",
            model = %message.model_name,
            version = tracing::field::Empty,
            request_id = %message.id,
            status = tracing::field::Empty
        );
        let outcome = Box::pin(self.answer(message).instrument(span.clone())).await;
        let code = outcome
            .as_ref()
            .map_or_else(|failure| failure.kind.code(), |_| tonic::Code::Ok);
        span.record("status", code.to_string());
        outcome
    }

    async fn answer(&self, message: proto::ModelInferRequest) -> Result<proto::ModelInferResponse, Failure> {
        let arrived = Instant::now();
        let repository = &self.shared.repository;
        let lease = repository.lease(&message.model_name, Some(&message.model_version))?;
        tracing::Span::current().record("version", lease.servable().version.as_str());
        // The message is in memory already; it is counted, so that the next one may be told to wait.
        let mut held = self.shared.memory.part();
        held.set(message.encoded_len())?;
        let request = convert::request(message)?;
        convert::response(repository.infer(&lease, request, arrived).await?)
    }
}

/// The messages of a stream.
struct Incoming {
    messages: Streaming<proto::ModelInferRequest>,
    /// The room that the largest message took is kept for the next one, and so counted.
    kept: Part,
    largest: usize,
    service: Service,
}

impl Incoming {
    /// The next message. A stream has no end of its own: a server that stops ends it behind the message that it is at,
    /// and one that keeps much memory and asks nothing is ended too.
    async fn next(mut self) -> Result<Option<(proto::ModelInferRequest, Self)>, Status> {
        let idle = async {
            match self.largest > KEPT_BYTES_MAX {
                true => tokio::time::sleep(self.service.shared.options.body_timeout).await,
                false => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            biased;
            () = self.service.stop.wait() => return Err(Status::unavailable("the server is stopping")),
            message = self.messages.message() => message?,
            () = idle => return Err(Status::unavailable("nothing was asked for a while; open another stream")),
        };
        let Some(message) = message else { return Ok(None) };
        self.largest = self.largest.max(message.encoded_len());
        self.kept.set(self.largest)?;
        Ok(Some((message, self)))
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<proto::ModelStreamInferResponse, Status>> + Send>>;

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    type ModelStreamInferStream = Answers;

    async fn server_live(
        &self,
        _: Request<proto::ServerLiveRequest>,
    ) -> Result<Response<proto::ServerLiveResponse>, Status> {
        Ok(Response::new(proto::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<proto::ServerReadyRequest>,
    ) -> Result<Response<proto::ServerReadyResponse>, Status> {
        let ready = self.shared.repository.is_ready();
        Ok(Response::new(proto::ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<proto::ModelReadyRequest>,
    ) -> Result<Response<proto::ModelReadyResponse>, Status> {
        let request = request.into_inner();
        let ready = self
            .shared
            .repository
            .is_model_ready(&request.name, Some(&request.version))?;
        Ok(Response::new(proto::ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<proto::ServerMetadataRequest>,
    ) -> Result<Response<proto::ServerMetadataResponse>, Status> {
        Ok(Response::new(proto::ServerMetadataResponse {
            name: SERVER_NAME.to_owned(),
            version: SERVER_VERSION.to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<proto::ModelMetadataRequest>,
    ) -> Result<Response<proto::ModelMetadataResponse>, Status> {
        let request = request.into_inner();
        let (versions, servable) = self
            .shared
            .repository
            .describe(&request.name, Some(&request.version))?;
        let tensor = |spec: &TensorSpec| TensorMetadata {
            name: spec.name.clone(),
            datatype: spec.datatype.clone(),
            shape: spec.shape.clone(),
        };
        Ok(Response::new(proto::ModelMetadataResponse {
            name: servable.name.clone(),
            versions,
            platform: servable.platform.clone(),
            inputs: servable.inputs.iter().map(tensor).collect(),
            outputs: servable.outputs.iter().map(tensor).collect(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<proto::ModelInferRequest>,
    ) -> Result<Response<proto::ModelInferResponse>, Status> {
        Ok(Response::new(self.infer(request.into_inner()).await?))
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<proto::ModelInferRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let service = self.clone();
        let incoming = Incoming {
            messages: request.into_inner(),
            kept: self.shared.memory.part(),
            largest: 0,
            service: self.clone(),
        };
        let messages = stream::try_unfold(incoming, Incoming::next);
        let answers = messages.then(move |message| {
            let service = service.clone();
            async move {
                let message: proto::ModelInferRequest = message?;
                let id = message.id.clone();
                Ok(match service.infer(message).await {
                    Ok(response) => proto::ModelStreamInferResponse {
                        error_message: String::new(),
                        infer_response: Some(response),
                    },
                    Err(failure) => proto::ModelStreamInferResponse {
                        error_message: failure.message,
                        infer_response: Some(proto::ModelInferResponse {
                            id,
                            ..proto::ModelInferResponse::default()
                        }),
                    },
                })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_config(
        &self,
        request: Request<proto::ModelConfigRequest>,
    ) -> Result<Response<proto::ModelConfigResponse>, Status> {
        let request = request.into_inner();
        let (_, servable) = self
            .shared
            .repository
            .describe(&request.name, Some(&request.version))?;
        let options = &servable.options;
        let batching = proto::ModelDynamicBatching {
            max_queue_delay_microseconds: u64::try_from(options.batch_delay.as_micros()).unwrap_or(u64::MAX),
        };
        let input = |spec: &TensorSpec| proto::ModelInput {
            name: spec.name.clone(),
            data_type: convert::data_type(&spec.datatype).into(),
            dims: spec.shape.clone(),
        };
        let output = |spec: &TensorSpec| proto::ModelOutput {
            name: spec.name.clone(),
            data_type: convert::data_type(&spec.datatype).into(),
            dims: spec.shape.clone(),
        };
        let config = proto::ModelConfig {
            name: servable.name.clone(),
            platform: servable.platform.clone(),
            max_batch_size: 0,
            input: servable.inputs.iter().map(input).collect(),
            output: servable.outputs.iter().map(output).collect(),
            instance_group: vec![proto::ModelInstanceGroup {
                name: servable.name.clone(),
                count: i32::try_from(options.replicas.max(1)).unwrap_or(i32::MAX),
            }],
            dynamic_batching: (servable.batch_max() > 1).then_some(batching),
        };
        Ok(Response::new(proto::ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(
        &self,
        request: Request<proto::ModelStatisticsRequest>,
    ) -> Result<Response<proto::ModelStatisticsResponse>, Status> {
        let request = request.into_inner();
        if !request.name.is_empty() {
            self.shared
                .repository
                .describe(&request.name, Some(&request.version))?;
        }
        let wanted = |version: &&VersionSnapshot| {
            (request.name.is_empty() || request.name == version.name)
                && (request.version.is_empty() || request.version == version.version)
        };
        let snapshot = self.shared.repository.snapshot();
        let model_stats = snapshot.versions.iter().filter(wanted).map(statistics).collect();
        Ok(Response::new(proto::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<proto::RepositoryIndexRequest>,
    ) -> Result<Response<proto::RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let listed = self.shared.repository.index().into_iter();
        let models = listed
            .filter(|line| !only_ready || line.state == State::Ready.word())
            .map(|line| proto::repository_index_response::ModelIndex {
                name: line.name,
                version: line.version,
                state: line.state.to_owned(),
                reason: line.reason,
            });
        Ok(Response::new(proto::RepositoryIndexResponse {
            models: models.collect(),
        }))
    }

    async fn repository_model_load(
        &self,
        request: Request<proto::RepositoryModelLoadRequest>,
    ) -> Result<Response<proto::RepositoryModelLoadResponse>, Status> {
        self.shared.controlled()?;
        let request = request.into_inner();
        if !request.parameters.is_empty() {
            let message = "loading takes no parameters: a package says all there is to say";
            return Err(Failure::invalid(message).into());
        }
        self.shared.repository.reload(&request.model_name).await?;
        Ok(Response::new(proto::RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<proto::RepositoryModelUnloadRequest>,
    ) -> Result<Response<proto::RepositoryModelUnloadResponse>, Status> {
        self.shared.controlled()?;
        self.shared
            .repository
            .unload(&request.into_inner().model_name)
            .await?;
        Ok(Response::new(proto::RepositoryModelUnloadResponse {}))
    }
}

fn statistics(version: &VersionSnapshot) -> proto::ModelStatistics {
    let total = |total: Total| {
        Some(proto::StatisticDuration {
            count: total.count,
            ns: total.ns,
        })
    };
    let counts = &version.counts;
    let batches = counts
        .batches
        .iter()
        .map(|(size, batch)| proto::InferBatchStatistics {
            batch_size: *size,
            compute_input: total(batch.compute_input),
            compute_infer: total(batch.compute_infer),
            compute_output: total(batch.compute_output),
        });
    proto::ModelStatistics {
        name: version.name.clone(),
        version: version.version.clone(),
        last_inference: counts.last_inference_ms,
        inference_count: counts.inferences,
        execution_count: counts.executions,
        inference_stats: Some(proto::InferStatistics {
            success: total(counts.success),
            fail: total(counts.fail),
            queue: total(counts.queue),
            compute_input: total(counts.compute_input),
            compute_infer: total(counts.compute_infer),
            compute_output: total(counts.compute_output),
        }),
        batch_stats: batches.collect(),
    }
}
