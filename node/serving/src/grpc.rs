//! The gRPC face: the protocol's `inference.GRPCInferenceService`, from the same requests and failures as REST.

mod codec;
mod convert;
mod metered;
mod service;

use axum::middleware;
use tonic::codec::CompressionEncoding;

use crate::guard::{Guard, check};
use crate::listen::Face;
use crate::options::Shared;
use crate::{Repository, ServerOptions, Stop};
use service::Service;

/// What the schema compiles to.
pub mod proto {
    #![allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated code; the schema says what each part is"
    )]
    tonic::include_proto!("inference");
}

pub(crate) use convert::data_type;

/// The gRPC face of a repository; what is told to stop ends its streams.
#[must_use]
pub fn face(repository: &Repository, options: &ServerOptions, stop: &Stop) -> Face {
    let guard = Guard::new(options, true);
    let shared = Shared::new(repository.clone(), options.clone());
    let service = Service::new(shared.clone(), stop.clone());
    let service = proto::grpc_inference_service_server::GrpcInferenceServiceServer::new(service)
        .max_decoding_message_size(options.body_bytes_max)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Deflate);
    let router = axum::Router::new()
        .route_service("/inference.GRPCInferenceService/{method}", service)
        .fallback(|| async {
            tonic::Status::unimplemented("there is no such service here").into_http::<axum::body::Body>()
        })
        .layer(middleware::from_fn_with_state(shared, metered::meter))
        .layer(middleware::from_fn_with_state(guard, check));
    Face { router, http2: true }
}
