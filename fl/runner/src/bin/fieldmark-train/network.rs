//! Three architectures, one training loop, and the trace that makes a TorchScript module of the result.

use crate::data::{CLASSES, Digits, PIXEL_MAX, PIXELS};
use anyhow::Result;
use clap::ValueEnum;
use std::path::Path;
use tch::nn::{self, ModuleT, OptimizerConfig};
use tch::{CModule, Device, Kind, Tensor};

/// Records per step.
const BATCH: i64 = 64;
/// Side of an image.
const SIDE: i64 = 8;

/// What to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// One linear layer.
    Logistic,
    /// One hidden layer of 128.
    Mlp,
    /// Two convolutions and two linear layers.
    Cnn,
}

impl Architecture {
    /// Its name in the package.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
        }
    }

    /// One sentence for the model card.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Logistic => "multinomial logistic regression on the 64 pixels",
            Self::Mlp => "a network with one hidden layer of 128 rectified units",
            Self::Cnn => {
                "a network of two 3×3 convolutions (16 and 32 channels), a maximum pool and two linear layers"
            }
        }
    }

    /// Passes that suit it: a few seconds on one core.
    pub(crate) fn epochs(self) -> u32 {
        match self {
            Self::Logistic => 60,
            Self::Mlp => 60,
            Self::Cnn => 40,
        }
    }

    fn learning_rate(self) -> f64 {
        match self {
            Self::Logistic => 1e-2,
            Self::Mlp => 2e-3,
            Self::Cnn => 2e-3,
        }
    }

    fn layers(self, path: &nn::Path<'_>) -> nn::SequentialT {
        let same = nn::ConvConfig {
            padding: 1,
            ..Default::default()
        };
        let pixels = SIDE * SIDE;
        let linear =
            |name: &str, from: i64, to: i64| nn::linear(path / name, from, to, nn::LinearConfig::default());
        match self {
            Self::Logistic => nn::seq_t().add(linear("output", pixels, CLASSES)),
            Self::Mlp => nn::seq_t()
                .add(linear("hidden", pixels, 128))
                .add_fn(|x| x.relu())
                .add_fn_t(|x, train| x.dropout(0.2, train))
                .add(linear("output", 128, CLASSES)),
            Self::Cnn => nn::seq_t()
                .add_fn(|x| x.reshape([-1, 1, SIDE, SIDE]))
                .add(nn::conv2d(path / "first", 1, 16, 3, same))
                .add_fn(|x| x.relu())
                .add(nn::conv2d(path / "second", 16, 32, 3, same))
                .add_fn(|x| x.relu().max_pool2d_default(2).reshape([-1, 32 * 16]))
                .add_fn_t(|x, train| x.dropout(0.3, train))
                .add(linear("hidden", 32 * 16, 64))
                .add_fn(|x| x.relu())
                .add(linear("output", 64, CLASSES)),
        }
    }
}

/// A trained classifier: images of 64 pixels from 0 to 16 in, logits out.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) architecture: Architecture,
    layers: nn::SequentialT,
    weights: nn::VarStore,
}

impl Network {
    /// Trains with Adam on shuffled batches; randomness comes from libtorch's seed.
    pub(crate) fn train(architecture: Architecture, digits: &Digits, epochs: u32) -> Result<Self> {
        let weights = nn::VarStore::new(Device::Cpu);
        let layers = architecture.layers(&weights.root());
        let mut network = Self {
            architecture,
            layers,
            weights,
        };
        let decayed = nn::Adam {
            wd: 1e-4,
            ..nn::Adam::default()
        };
        let mut optimizer = decayed.build(&network.weights, architecture.learning_rate())?;
        let (images, labels) = (digits.images()?, digits.labels());
        for epoch in 0..epochs {
            // A smaller step towards the end settles the weights.
            if epoch == epochs * 3 / 4 {
                optimizer.set_lr(architecture.learning_rate() / 10.0);
            }
            for batch in Tensor::f_randperm(digits.len()?, (Kind::Int64, Device::Cpu))?.split(BATCH, 0) {
                let mut chosen = images.f_index_select(0, &batch)?;
                if architecture == Architecture::Cnn {
                    chosen = shifted(&chosen)?;
                }
                let logits = network.logits(&chosen, true);
                optimizer.backward_step(&logits.cross_entropy_for_logits(&labels.f_index_select(0, &batch)?));
            }
        }
        network.weights.freeze();
        Ok(network)
    }

    /// Part of the digits that are recognised.
    pub(crate) fn accuracy(&self, digits: &Digits) -> Result<f64> {
        let _guard = tch::no_grad_guard();
        let guess = self.logits(&digits.images()?, false).f_argmax(-1, false)?;
        let right = guess.f_eq_tensor(&digits.labels())?.f_to_kind(Kind::Double)?;
        Ok(right.f_mean(Kind::Double)?.f_double_value(&[])?)
    }

    /// Traces the network and writes it as TorchScript; checks that it says the same as before.
    pub(crate) fn save(&self, path: &Path, sample: &[f32]) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let image = Tensor::from_slice(sample).f_reshape([-1, i64::try_from(PIXELS)?])?;
        let mut forward = |inputs: &[Tensor]| inputs.iter().map(|input| self.logits(input, false)).collect();
        let module =
            CModule::create_by_tracing("Digits", "forward", std::slice::from_ref(&image), &mut forward)?;
        module.save(path)?;
        let two = Tensor::f_cat(&[&image, &image], 0)?;
        let (expected, found) = (
            self.logits(&two, false),
            CModule::load(path)?.forward_ts(&[&two])?,
        );
        anyhow::ensure!(
            expected.allclose(&found, 1e-5, 1e-5, false),
            "the traced module differs from the network"
        );
        Ok(())
    }

    fn logits(&self, images: &Tensor, train: bool) -> Tensor {
        self.layers.forward_t(&(images / f64::from(PIXEL_MAX)), train)
    }
}

/// The same images moved by at most one pixel in each direction, all of a batch alike: convolutions learn from
/// it that a digit's place does not matter.
fn shifted(images: &Tensor) -> Result<Tensor> {
    let offset = || Tensor::f_randint(3, [1], (Kind::Int64, Device::Cpu))?.f_int64_value(&[0]);
    let (down, right) = (offset()?, offset()?);
    let framed = images
        .f_reshape([-1, SIDE, SIDE])?
        .f_constant_pad_nd([1, 1, 1, 1])?;
    let window = framed.f_narrow(1, down, SIDE)?.f_narrow(2, right, SIDE)?;
    Ok(window.f_reshape([-1, SIDE * SIDE])?)
}
