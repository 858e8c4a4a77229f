// SPDX-License-Identifier: Apache-2.0
#include "infer/kv_cache.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cstring>

#include "model/latent.h"
#include "tensor/views.h"

namespace gradus {
namespace {

bool has_decode_kernel(const at::Tensor& q) {
  return q.is_cpu() && cpu::has_kernel_dtype(q) && q.size(2) % 16 == 0 && q.size(2) <= 256;
}

// Which of past + count positions each of the last `count` may see: bool [count, past + count].
at::Tensor causal_mask(int64_t past, int64_t count, int64_t window, c10::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor row = at::arange(past, past + count, options).unsqueeze(1);
  const at::Tensor column = at::arange(past + count, options).unsqueeze(0);
  const at::Tensor mask = column <= row;
  return window > 0 ? mask.logical_and(column > row - window) : mask;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, CacheShape shape, c10::ScalarType dtype,
                 c10::Device device)
    : shape_(shape),
      recurrent_(config, config.num_hidden_layers, shape.slots, dtype, device),
      lengths_(static_cast<size_t>(shape.slots), 0) {
  if (!recurrent_.empty()) return;
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const LatentConfig& latent = config.latent;
  const bool latents = latent.kv_rank > 0;
  const std::vector<int64_t> sizes{shape.slots, latents ? 1 : config.num_key_value_heads,
                                   shape.capacity,
                                   latents ? latent.kv_rank + latent.rope_dim : config.head_dim};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    keys_.push_back(at::empty(sizes, options));
    if (!latents) values_.push_back(at::empty(sizes, options));
  }
}

void KvCache::advance(int64_t slot, int64_t past, int64_t count) {
  int64_t& length = lengths_[static_cast<size_t>(slot)];
  TORCH_CHECK(recurrent_.empty() || past == 0 || past == length,
              "a state cannot go back: it has seen ", length, " tokens, not ", past);
  length = past + count;
}

void KvCache::copy_prefix(int64_t from, int64_t to, int64_t tokens) {
  advance(from, tokens, 0);
  lengths_[static_cast<size_t>(to)] = tokens;
  recurrent_.copy_row(from, to);
  for (auto* tensors : {&keys_, &values_}) {
    for (at::Tensor& layer : *tensors) {
      layer.select(0, to).narrow(1, 0, tokens).copy_(layer.select(0, from).narrow(1, 0, tokens));
    }
  }
}

float* KvCache::workspace(int64_t floats) {
  if (!workspace_.defined() || workspace_.numel() < floats)
    workspace_ = at::empty({floats}, at::kFloat);
  return workspace_.data_ptr<float>();
}

int64_t KvCache::bytes() const {
  int64_t total = recurrent_.bytes();
  for (const auto* tensors : {&keys_, &values_}) {
    for (const at::Tensor& layer : *tensors) total += static_cast<int64_t>(layer.nbytes());
  }
  return total;
}

CachedAttention::CachedAttention(KvCache& cache, std::vector<CachedSegment> segments)
    : cache_(cache), segments_(std::move(segments)) {
  int64_t start = 0;
  for (const CachedSegment& segment : segments_) {
    TORCH_CHECK(segment.past + segment.count <= cache_.shape().capacity, "cache slot overflow");
    cache_.advance(segment.slot, segment.past, segment.count);
    starts_.push_back(start);
    start += segment.count;
  }
}

std::vector<SequenceTokens> CachedAttention::sequences() const {
  std::vector<SequenceTokens> all;
  for (const CachedSegment& segment : segments_)
    all.push_back({.count = segment.count, .length = segment.length});
  return all;
}

// fresh [T, Hkv, Dh] to its places in memory [slots, Hkv, capacity, Dh]. On the CPU row by row: a
// tensor operation per segment and layer takes longer than the copy of one token.
void CachedAttention::store(const at::Tensor& fresh, const at::Tensor& memory) {
  const bool plain =
      fresh.is_cpu() && fresh.stride(2) == 1 && fresh.scalar_type() == memory.scalar_type();
  const auto item = static_cast<int64_t>(fresh.element_size());
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto [slot, past, count, length] = segments_[i];
    if (!plain) {
      memory.select(0, slot)
          .narrow(1, past, count)
          .copy_(fresh.narrow(0, starts_[i], count).transpose(0, 1));
      continue;
    }
    const auto* from = static_cast<const char*>(fresh.const_data_ptr());
    auto* to = static_cast<char*>(memory.mutable_data_ptr()) + slot * memory.stride(0) * item;
    for (int64_t head = 0; head < fresh.size(1); ++head) {
      for (int64_t t = 0; t < count; ++t)
        std::memcpy(to + (head * memory.stride(1) + (past + t) * memory.stride(2)) * item,
                    from + (head * fresh.stride(1) + (starts_[i] + t) * fresh.stride(0)) * item,
                    static_cast<size_t>(fresh.size(2) * item));
    }
  }
}

// All segments of one token in one kernel call.
void CachedAttention::decode(int64_t layer, const at::Tensor& q, at::Tensor& out,
                             const ops::AttentionOptions& options) {
  const at::Tensor &keys = cache_.keys(layer), &values = cache_.values(layer);
  const size_t item = q.element_size();
  const int64_t row = q.size(1) * q.size(2);
  sequences_.clear();
  pages_.clear();
  pages_.reserve(2 * segments_.size());  // pointers into it are handed out
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].count != 1) continue;
    const size_t slot =
        static_cast<size_t>(segments_[i].slot * keys.stride(0)) * keys.element_size();
    pages_.push_back(static_cast<const char*>(keys.const_data_ptr()) + slot);
    pages_.push_back(static_cast<const char*>(values.const_data_ptr()) + slot);
    const size_t offset = static_cast<size_t>(starts_[i] * row) * item;
    sequences_.push_back({.q = static_cast<const char*>(q.const_data_ptr()) + offset,
                          .out = static_cast<char*>(out.mutable_data_ptr()) + offset,
                          .k_pages = &pages_[pages_.size() - 2],
                          .v_pages = &pages_[pages_.size() - 1],
                          .length = segments_[i].past + 1});
  }
  if (sequences_.empty()) return;
  cpu::DecodeAttention call{.sequences = sequences_.data(),
                            .sequence_count = static_cast<int64_t>(sequences_.size()),
                            .dtype = cpu::dtype_of(q),
                            .cache_dtype = cpu::dtype_of(keys),
                            .heads = q.size(1),
                            .kv_heads = keys.size(1),
                            .head_dim = q.size(2),
                            .page_tokens = cache_.shape().capacity,
                            .token_stride = keys.stride(2),
                            .head_stride = keys.stride(1),
                            .scale = static_cast<float>(options.scale),
                            .window = options.window};
  call.workspace = cache_.workspace(cpu::decode_attention_workspace(call));
  cpu::cpu_kernels().decode_attention(call);
}

const at::Tensor& CachedAttention::mask(size_t segment, int64_t window, c10::Device device) {
  at::Tensor& mask = masks_[{segment, window}];
  const auto [slot, past, count, length] = segments_[segment];
  if (!mask.defined()) mask = causal_mask(past, count, window, device);
  return mask;
}

at::Tensor CachedAttention::attend_segment(size_t segment, int64_t layer,
                                           const std::array<at::Tensor, 3>& qkv,
                                           const ops::AttentionOptions& options) {
  const auto [slot, past, count, length] = segments_[segment];
  const auto rows = [&, count = count](const at::Tensor& x) {
    return x.narrow(0, starts_[segment], count);
  };
  if (past == 0)
    return ops::packed_attention(rows(qkv[0]), rows(qkv[1]), rows(qkv[2]), {0, count}, options);
  const auto cached = [&, past = past, count = count](const at::Tensor& memory) {
    return memory.narrow(1, 0, past + count).transpose(0, 1);
  };
  const at::Tensor keys = cached(cache_.keys(layer, slot)),
                   values = cached(cache_.values(layer, slot));
  if (count == 1) return ops::cached_attention(rows(qkv[0]), keys, values, options);
  return ops::masked_attention(rows(qkv[0]), keys, values,
                               mask(segment, options.window, qkv[0].device()), options);
}

ops::SegmentStates CachedAttention::past(int64_t layer, RecurrentPart part) {
  ops::SegmentStates states{.waves = {{}}, .rows = cache_.recurrent().rows(layer, part)};
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto [slot, past, count, length] = segments_[i];
    states.waves[0].push_back({.begin = starts_[i],
                               .end = starts_[i] + count,
                               .from = past == 0 ? -1 : slot,
                               .to = slot});
  }
  return states;
}

at::Tensor CachedAttention::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                   const at::Tensor& v, const ops::AttentionOptions& options) {
  store(k, cache_.keys(layer));
  store(v, cache_.values(layer));
  const at::Tensor queries = q.contiguous();
  at::Tensor out = at::empty_like(queries);
  const bool kernel = options.is_plain() && has_decode_kernel(queries);
  if (kernel) decode(layer, queries, out, options);
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (kernel && segments_[i].count == 1) continue;
    out.narrow(0, starts_[i], segments_[i].count)
        .copy_(attend_segment(i, layer, {queries, k, v}, options));
  }
  return out;
}

// A prompt makes the heads' keys and values, which costs less for many queries; what follows it
// attends to the latents.
at::Tensor CachedAttention::attend_latent(int64_t layer, const LatentHeads& heads,
                                          const ops::AttentionOptions& options) {
  store(heads.latents.unsqueeze(1), cache_.keys(layer));
  const LatentConfig& sizes = heads.sizes;
  at::Tensor out = at::empty({heads.q.size(0), heads.q.size(1), sizes.v_dim}, heads.q.options());
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto [slot, past, count, length] = segments_[i];
    const LatentHeads rows = heads.rows(starts_[i], count);
    at::Tensor to = out.narrow(0, starts_[i], count);
    if (past == 0) {
      to.copy_(PackedAttention({0, count}).attend_latent(layer, rows, options));
      continue;
    }
    const at::Tensor keys = cache_.keys(layer, slot)[0].narrow(0, 0, past + count);
    to.copy_(values_of_latents(
        rows, ops::shared_attention(queries_of_latents(rows), keys, sizes.kv_rank, options)));
  }
  return out;
}

}  // namespace gradus
