// SPDX-License-Identifier: Apache-2.0
#include "tensor/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace gradus::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows whose logits are held at once: about 128 MB of fp32.
int64_t rows_per_block(int64_t vocabulary) {
  return std::clamp<int64_t>((int64_t{32} << 20) / vocabulary, 1, 4096);
}

Tensor targeted_rows(const Tensor& targets) {
  return at::nonzero(targets != kIgnoredTarget).squeeze(1);
}

// Collects the gradients of hidden and weight block by block; the weight's in fp32 when there is
// more than one block, so that blocks do not add rounding errors.
class GradientSink {
 public:
  GradientSink(const Tensor& hidden, const Tensor& weight, int64_t rows, bool wanted)
      : weight_(weight), wanted_(wanted) {
    if (!wanted_) return;
    hidden_gradient_ = at::empty({rows, hidden.size(1)}, hidden.options());
    single_block_ = rows <= rows_per_block(weight.size(0));
    if (!single_block_)
      weight_gradient_ = at::zeros(weight.sizes(), weight.options().dtype(at::kFloat));
  }

  bool wanted() const { return wanted_; }

  // logits_gradient [R, V] fp32 of the rows [start, start+R), whose inputs are rows [R, D].
  void add(int64_t start, const Tensor& rows, const Tensor& logits_gradient) {
    const Tensor gradient = logits_gradient.to(rows.scalar_type());
    hidden_gradient_.narrow(0, start, rows.size(0)).copy_(at::matmul(gradient, weight_));
    const Tensor block = at::matmul(gradient.t(), rows);
    if (single_block_) {
      weight_gradient_ = block;
    } else {
      weight_gradient_.add_(block);
    }
  }

  Tensor weight_gradient() const {
    return weight_gradient_.defined() ? weight_gradient_.to(weight_.scalar_type())
                                      : at::zeros_like(weight_);
  }
  const Tensor& rows_gradient() const { return hidden_gradient_; }

 private:
  Tensor weight_, hidden_gradient_, weight_gradient_;
  bool wanted_, single_block_ = true;
};

// Calls block(start, rows [R, D], targets [R]) for consecutive blocks of the targeted rows.
template <class Block>
void for_each_block(const Tensor& hidden, const Tensor& targets, int64_t vocabulary,
                    const Block& block) {
  const int64_t rows = hidden.size(0), step = rows_per_block(vocabulary);
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    block(start, hidden.narrow(0, start, count), targets.narrow(0, start, count));
  }
}

Tensor scatter_rows(const Tensor& rows_gradient, const Tensor& index, const Tensor& hidden_like) {
  Tensor full = at::zeros_like(hidden_like);
  return full.index_copy_(0, index, rows_gradient);
}

// log softmax of the logits [R, V] in fp32.
Tensor block_log_probs(const Tensor& rows, const Tensor& weight, double temperature) {
  Tensor logits = at::linear(rows, weight).to(at::kFloat);
  if (temperature != 1.0) logits.div_(temperature);
  return at::log_softmax(logits, -1);
}

// (probs - onehot) * factor, in place over probs.
Tensor cross_entropy_gradient(Tensor probs, const Tensor& targets, double factor) {
  const Tensor column = targets.unsqueeze(1);
  probs.scatter_add_(1, column, at::zeros(column.sizes(), probs.options()).sub_(1));
  return probs.mul_(factor);
}

void save_gradients(AutogradContext* context, const GradientSink& sink, const Tensor& index,
                    const Tensor& hidden) {
  if (!sink.wanted()) return;
  context->save_for_backward(
      {scatter_rows(sink.rows_gradient(), index, hidden), sink.weight_gradient()});
}

// The gradients were computed in forward; the incoming scalar only scales them.
variable_list scaled_gradients(AutogradContext* context, const Tensor& incoming) {
  const auto saved = context->get_saved_variables();
  return {saved[0] * incoming.to(saved[0].scalar_type()),
          saved[1] * incoming.to(saved[1].scalar_type())};
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const Tensor& targets, double scale, bool wanted) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const Tensor index = targeted_rows(targets);
    GradientSink sink(hidden, weight, index.size(0), wanted);
    Tensor total = at::zeros({}, hidden.options().dtype(at::kFloat));
    const auto block = [&](int64_t start, const Tensor& rows, const Tensor& row_targets) {
      Tensor log_probs = block_log_probs(rows, weight, 1.0);
      total.sub_(log_probs.gather(1, row_targets.unsqueeze(1)).sum(), scale);
      if (sink.wanted())
        sink.add(start, rows, cross_entropy_gradient(log_probs.exp_(), row_targets, scale));
    };
    for_each_block(hidden.index_select(0, index), targets.index_select(0, index), weight.size(0),
                   block);
    save_gradients(context, sink, index, hidden);
    return total;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    variable_list gradients = scaled_gradients(context, incoming[0]);
    gradients.resize(5);
    return gradients;
  }
};

struct BlockKl {
  Tensor value;     // scalar: sum over rows
  Tensor gradient;  // [R, V] with respect to the student's logits (before the temperature)
};

// temperature² · ((1-reverse)·KL(t‖s) + reverse·KL(s‖t)); the inputs are log probabilities.
BlockKl block_kl(const Tensor& student, const Tensor& teacher, const DistillationOptions& options) {
  const double reverse = options.reverse_weight, tau = options.temperature;
  const Tensor probs = student.exp(), difference = student - teacher;
  BlockKl result{at::zeros({}, student.options()), at::zeros_like(probs)};
  if (reverse < 1.0) {
    const Tensor teacher_probs = teacher.exp();
    result.value.sub_((teacher_probs * difference).sum(), (1 - reverse) * tau * tau);
    result.gradient.add_(probs - teacher_probs, (1 - reverse) * tau);
  }
  if (reverse > 0.0) {
    const Tensor row = (probs * difference).sum(-1, true);
    result.value.add_(row.sum(), reverse * tau * tau);
    result.gradient.add_(probs * (difference - row), reverse * tau);
  }
  return result;
}

struct Distillation : torch::autograd::Function<Distillation> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const DistillationInput& input, const DistillationOptions& options,
                        bool wanted) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const Tensor index = targeted_rows(input.targets);
    const Tensor teacher_rows = input.teacher_hidden.index_select(0, index);
    GradientSink sink(hidden, weight, index.size(0), wanted);
    Tensor total = at::zeros({}, hidden.options().dtype(at::kFloat));
    const double hard = options.hard_weight * options.scale, soft = options.scale - hard;
    const auto block = [&](int64_t start, const Tensor& rows, const Tensor& targets) {
      Tensor gradient = at::zeros({rows.size(0), weight.size(0)}, total.options());
      if (soft > 0) {
        const Tensor teacher = block_log_probs(teacher_rows.narrow(0, start, rows.size(0)),
                                               input.teacher_weight, options.temperature);
        const BlockKl kl =
            block_kl(block_log_probs(rows, weight, options.temperature), teacher, options);
        total.add_(kl.value, soft);
        gradient.add_(kl.gradient, soft);
      }
      if (hard > 0) {
        const Tensor log_probs = block_log_probs(rows, weight, 1.0);
        total.sub_(log_probs.gather(1, targets.unsqueeze(1)).sum(), hard);
        gradient.add_(cross_entropy_gradient(log_probs.exp(), targets, hard));
      }
      if (sink.wanted()) sink.add(start, rows, gradient);
    };
    for_each_block(hidden.index_select(0, index), input.targets.index_select(0, index),
                   weight.size(0), block);
    save_gradients(context, sink, index, hidden);
    return total;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    variable_list gradients = scaled_gradients(context, incoming[0]);
    gradients.resize(5);
    return gradients;
  }
};

bool gradients_wanted(const Tensor& hidden, const Tensor& weight) {
  return at::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& targets,
                            double scale) {
  return CrossEntropy::apply(hidden, weight, targets, scale, gradients_wanted(hidden, weight));
}

Tensor linear_distillation(const DistillationInput& input, const DistillationOptions& options) {
  TORCH_CHECK(input.weight.size(0) == input.teacher_weight.size(0),
              "teacher and student differ in vocabulary");
  return Distillation::apply(input.hidden, input.weight, input, options,
                             gradients_wanted(input.hidden, input.weight));
}

TargetScores linear_target_scores(const Tensor& hidden, const Tensor& weight,
                                  const Tensor& targets) {
  const at::NoGradGuard no_gradients;
  const Tensor index = targeted_rows(targets);
  TargetScores scores{at::zeros({targets.size(0)}, hidden.options().dtype(at::kFloat)),
                      at::zeros({targets.size(0)}, hidden.options().dtype(at::kBool))};
  const auto block = [&](int64_t start, const Tensor& rows, const Tensor& row_targets) {
    const Tensor log_probs = block_log_probs(rows, weight, 1.0);
    const Tensor places = index.narrow(0, start, rows.size(0));
    scores.log_probs.index_copy_(0, places,
                                 log_probs.gather(1, row_targets.unsqueeze(1)).squeeze(1));
    scores.greedy.index_copy_(0, places, at::argmax(log_probs, -1) == row_targets);
  };
  for_each_block(hidden.index_select(0, index), targets.index_select(0, index), weight.size(0),
                 block);
  return scores;
}

}  // namespace gradus::ops
