// SPDX-License-Identifier: Apache-2.0
#include "tensor/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/cpu/kernels.h"
#include "tensor/fused_cpu.h"
#include "tensor/ops.h"
#include "tensor/views.h"

namespace gradus::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Logits held at once. Fewer, larger blocks cost less, since every block adds to the whole weight
// gradient; distillation keeps several fp32 copies of a block.
constexpr int64_t kPlainBytes = int64_t{256} << 20;
constexpr int64_t kDistillationBytes = int64_t{64} << 20;

int64_t rows_per_block(const Tensor& weight, int64_t bytes) {
  const auto row_bytes = weight.size(0) * static_cast<int64_t>(weight.element_size());
  return std::clamp<int64_t>(bytes / row_bytes, 1, 8192);
}

Tensor targeted_rows(const Tensor& targets) {
  return at::nonzero(targets != kIgnoredTarget).squeeze(1);
}

// Which gradients a loss has to make.
struct Wanted {
  bool hidden = false;
  bool weight = false;
  bool bias = false;
  bool any() const { return hidden || weight || bias; }
};
Wanted wanted_gradients(const Tensor& hidden, const OutputHead& head) {
  const bool enabled = at::GradMode::is_enabled();
  return {enabled && hidden.requires_grad(), enabled && head.weight.requires_grad(),
          enabled && head.bias.defined() && head.bias.requires_grad()};
}

// Collects the gradients of hidden, weight and bias block by block; the weight's in fp32 when there
// is more than one block, so that blocks do not add rounding errors.
class GradientSink {
 public:
  GradientSink(const Tensor& hidden, const OutputHead& head, int64_t rows, Wanted wanted,
               int64_t block_rows)
      : head_(head), wanted_(wanted), single_block_(rows <= block_rows) {
    const Tensor& weight = head.weight;
    if (wanted_.hidden) hidden_gradient_ = at::empty({rows, hidden.size(1)}, hidden.options());
    if (wanted_.weight && !single_block_)
      weight_gradient_ = at::zeros(weight.sizes(), weight.options().dtype(at::kFloat));
    if (wanted_.bias)
      bias_gradient_ = at::zeros(head.bias.sizes(), weight.options().dtype(at::kFloat));
  }

  bool wanted() const { return wanted_.any(); }

  // logits_gradient [R, V] of the rows [start, start+R), whose inputs are rows [R, D].
  void add(int64_t start, const Tensor& rows, const Tensor& logits_gradient) {
    const Tensor gradient = logits_gradient.to(rows.scalar_type());
    if (wanted_.hidden)
      hidden_gradient_.narrow(0, start, rows.size(0)).copy_(at::matmul(gradient, head_.weight));
    if (wanted_.bias) bias_gradient_.add_(at::sum(logits_gradient, {0}, false, at::kFloat));
    if (!wanted_.weight) return;
    const Tensor block = at::matmul(gradient.t(), rows);
    if (single_block_) {
      weight_gradient_ = block;
    } else {
      weight_gradient_.add_(block);
    }
  }

  // Undefined where not wanted.
  Tensor weight_gradient() const {
    if (!wanted_.weight) return {};
    return weight_gradient_.defined() ? weight_gradient_.to(head_.weight.scalar_type())
                                      : at::zeros_like(head_.weight);
  }
  Tensor bias_gradient() const {
    return wanted_.bias ? bias_gradient_.to(head_.bias.scalar_type()) : Tensor();
  }
  const Tensor& rows_gradient() const { return hidden_gradient_; }

 private:
  OutputHead head_;
  Tensor hidden_gradient_, weight_gradient_, bias_gradient_;
  Wanted wanted_;
  bool single_block_;
};

// Calls block(start, rows [R, D], targets [R]) for consecutive blocks of the targeted rows.
template <class Block>
void for_each_block(const Tensor& hidden, const Tensor& targets, int64_t step, const Block& block) {
  const int64_t rows = hidden.size(0);
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    block(start, hidden.narrow(0, start, count), targets.narrow(0, start, count));
  }
}

Tensor scatter_rows(const Tensor& rows_gradient, const Tensor& index, const Tensor& hidden_like) {
  Tensor full = at::zeros_like(hidden_like);
  return full.index_copy_(0, index, rows_gradient);
}

Tensor product(const Tensor& rows, const OutputHead& head) {
  return head.bias.defined() ? at::linear(rows, head.weight, head.bias)
                             : at::linear(rows, head.weight);
}
// [R, V] in fp32.
Tensor block_logits(const Tensor& rows, const OutputHead& head) {
  return softcap(product(rows, head).to(at::kFloat), head.softcap);
}
// The gradient of what stands before the cap, from that of the capped logits.
Tensor before_cap(const Tensor& gradient, const Tensor& capped, double cap) {
  return cap == 0.0 ? gradient : gradient * (1 - (capped / cap).square());
}
Tensor log_probs(const Tensor& logits, double temperature) {
  return at::log_softmax(temperature == 1.0 ? logits : logits / temperature, -1);
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
  const Tensor rows = sink.rows_gradient();
  context->save_for_backward({rows.defined() ? scatter_rows(rows, index, hidden) : rows,
                              sink.weight_gradient(), sink.bias_gradient()});
}

// The gradients were computed in forward; the incoming scalar only scales them, and it is 1 where
// the loss itself is what backward starts from.
variable_list scaled_gradients(AutogradContext* context, const Tensor& incoming) {
  const auto saved = context->get_saved_variables();
  const bool is_one = incoming.is_cpu() && incoming.item<float>() == 1.0f;
  const auto scaled = [&](const Tensor& x) {
    return !x.defined() || is_one ? x : x * incoming.to(x.scalar_type());
  };
  return {scaled(saved[0]), scaled(saved[1]), scaled(saved[2])};
}

// Loss of a block by the CPU kernels: one pass over the logits [R, V] for the sum, one that turns
// them into their gradient in place.
double fused_block(Tensor logits, const Tensor& targets, double scale, bool gradient) {
  const int64_t rows = logits.size(0), V = logits.size(1);
  const Tensor lse = at::empty({rows}, at::kFloat), picked = at::empty({rows}, at::kFloat);
  cpu::cpu_kernels().log_sum_exp({.logits = cpu::const_rows(logits),
                                  .targets = targets.const_data_ptr<int64_t>(),
                                  .lse = lse.data_ptr<float>(),
                                  .target_logit = picked.data_ptr<float>(),
                                  .rows = rows,
                                  .vocab = V});
  if (gradient) {
    cpu::cpu_kernels().cross_entropy_grad({.logits = cpu::rows(logits),
                                           .targets = targets.const_data_ptr<int64_t>(),
                                           .lse = lse.data_ptr<float>(),
                                           .common_scale = static_cast<float>(scale),
                                           .rows = rows,
                                           .vocab = V});
  }
  return (lse - picked).sum(at::kDouble).item<double>() * scale;
}

// Autograd takes no undefined inputs: an absent bias travels as an empty tensor.
Tensor bias_input(const OutputHead& head) {
  return head.bias.defined() ? head.bias : at::empty({0}, head.weight.options());
}
Tensor bias_of(const Tensor& input) { return input.numel() > 0 ? input : Tensor(); }

// weight and bias are the head's, named so that autograd sees them.
struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const Tensor& bias, const Tensor& targets, double softcap, double scale,
                        Wanted wanted) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const OutputHead head{weight, bias_of(bias), softcap};
    const Tensor index = targeted_rows(targets);
    const int64_t block_rows = rows_per_block(weight, kPlainBytes);
    GradientSink sink(hidden, head, index.size(0), wanted, block_rows);
    Tensor total = at::zeros({}, hidden.options().dtype(at::kFloat));
    const auto block = [&](int64_t start, const Tensor& rows, const Tensor& row_targets) {
      if (fused_cpu::applies(rows) && softcap == 0.0) {
        const Tensor logits = product(rows, head);
        total.add_(fused_block(logits, row_targets, scale, sink.wanted()));
        if (sink.wanted()) sink.add(start, rows, logits);
        return;
      }
      const Tensor logits = block_logits(rows, head);
      Tensor log_probs = at::log_softmax(logits, -1);
      total.sub_(log_probs.gather(1, row_targets.unsqueeze(1)).sum(), scale);
      if (!sink.wanted()) return;
      const Tensor gradient = cross_entropy_gradient(log_probs.exp_(), row_targets, scale);
      sink.add(start, rows, before_cap(gradient, logits, softcap));
    };
    for_each_block(hidden.index_select(0, index), targets.index_select(0, index), block_rows,
                   block);
    save_gradients(context, sink, index, hidden);
    return total;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    variable_list gradients = scaled_gradients(context, incoming[0]);
    gradients.resize(7);
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
                        const Tensor& bias, const DistillationInput& input,
                        const DistillationOptions& options, Wanted wanted) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const OutputHead head{weight, bias_of(bias), input.head.softcap};
    const Tensor index = targeted_rows(input.targets);
    const Tensor teacher_rows = input.teacher_hidden.index_select(0, index);
    const int64_t block_rows = rows_per_block(weight, kDistillationBytes);
    GradientSink sink(hidden, head, index.size(0), wanted, block_rows);
    Tensor total = at::zeros({}, hidden.options().dtype(at::kFloat));
    const double hard = options.hard_weight * options.scale, soft = options.scale - hard;
    const auto block = [&](int64_t start, const Tensor& rows, const Tensor& targets) {
      const Tensor logits = block_logits(rows, head);
      const Tensor student = log_probs(logits, options.temperature);
      Tensor gradient = at::zeros_like(logits);
      if (soft > 0) {
        const Tensor teacher_logits =
            block_logits(teacher_rows.narrow(0, start, rows.size(0)), input.teacher_head);
        const BlockKl kl =
            block_kl(student, log_probs(teacher_logits, options.temperature), options);
        total.add_(kl.value, soft);
        gradient.add_(kl.gradient, soft);
      }
      if (hard > 0) {
        const Tensor plain = options.temperature == 1.0 ? student : log_probs(logits, 1.0);
        total.sub_(plain.gather(1, targets.unsqueeze(1)).sum(), hard);
        gradient.add_(cross_entropy_gradient(plain.exp(), targets, hard));
      }
      if (sink.wanted()) sink.add(start, rows, before_cap(gradient, logits, head.softcap));
    };
    for_each_block(hidden.index_select(0, index), input.targets.index_select(0, index), block_rows,
                   block);
    save_gradients(context, sink, index, hidden);
    return total;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    variable_list gradients = scaled_gradients(context, incoming[0]);
    gradients.resize(6);
    return gradients;
  }
};

}  // namespace

Tensor linear_cross_entropy(const Tensor& hidden, const OutputHead& head, const Tensor& targets,
                            double scale) {
  return CrossEntropy::apply(hidden, head.weight, bias_input(head), targets, head.softcap, scale,
                             wanted_gradients(hidden, head));
}

Tensor linear_distillation(const DistillationInput& input, const DistillationOptions& options) {
  TORCH_CHECK(input.head.weight.size(0) == input.teacher_head.weight.size(0),
              "teacher and student differ in vocabulary");
  return Distillation::apply(input.hidden, input.head.weight, bias_input(input.head), input,
                             options, wanted_gradients(input.hidden, input.head));
}

}  // namespace gradus::ops
