// SPDX-License-Identifier: Apache-2.0
#include "infer/kv_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "tensor/cpu/kernels.h"
#include "tensor/views.h"

namespace gradus {
namespace {

bool has_decode_kernel(const at::Tensor& q) {
  return q.is_cpu() && cpu::has_kernel_dtype(q) && q.size(2) % 16 == 0 && q.size(2) <= 256;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, CacheShape shape, c10::ScalarType dtype,
                 c10::Device device)
    : shape_(shape) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const std::vector<int64_t> sizes{shape.slots, config.num_key_value_heads, shape.capacity,
                                   config.head_dim};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    keys_.push_back(at::empty(sizes, options));
    values_.push_back(at::empty(sizes, options));
  }
}

void KvCache::copy_prefix(int64_t from, int64_t to, int64_t tokens) {
  for (auto* tensors : {&keys_, &values_}) {
    for (at::Tensor& layer : *tensors) {
      layer.select(0, to).narrow(1, 0, tokens).copy_(layer.select(0, from).narrow(1, 0, tokens));
    }
  }
}

int64_t KvCache::bytes() const {
  int64_t total = 0;
  for (const at::Tensor& layer : keys_) total += 2 * static_cast<int64_t>(layer.nbytes());
  return total;
}

CachedAttention::CachedAttention(KvCache& cache, std::vector<CachedSegment> segments)
    : cache_(cache), segments_(std::move(segments)) {
  int64_t start = 0;
  for (const CachedSegment& segment : segments_) {
    TORCH_CHECK(segment.past + segment.count <= cache_.shape().capacity, "cache slot overflow");
    starts_.push_back(start);
    start += segment.count;
  }
}

void CachedAttention::store(int64_t layer, const at::Tensor& k, const at::Tensor& v) {
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto [slot, past, count] = segments_[i];
    const auto put = [&, past = past, count = count](const at::Tensor& slot_tensor,
                                                     const at::Tensor& fresh) {
      slot_tensor.narrow(1, past, count).copy_(fresh.narrow(0, starts_[i], count).transpose(0, 1));
    };
    put(cache_.keys(layer, slot), k);
    put(cache_.values(layer, slot), v);
  }
}

// All segments of one token in one kernel call.
void CachedAttention::decode(int64_t layer, const at::Tensor& q, at::Tensor& out,
                             const ops::AttentionOptions& options) {
  const at::Tensor first_keys = cache_.keys(layer, 0);
  const size_t item = q.element_size();
  const int64_t row = q.size(1) * q.size(2);
  std::vector<cpu::DecodeSequence> sequences;
  std::vector<const void*> pages;
  pages.reserve(2 * segments_.size());  // pointers into it are handed out
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].count != 1) continue;
    pages.push_back(cache_.keys(layer, segments_[i].slot).const_data_ptr());
    pages.push_back(cache_.values(layer, segments_[i].slot).const_data_ptr());
    const size_t offset = static_cast<size_t>(starts_[i] * row) * item;
    sequences.push_back({.q = static_cast<const char*>(q.const_data_ptr()) + offset,
                         .out = static_cast<char*>(out.mutable_data_ptr()) + offset,
                         .k_pages = &pages[pages.size() - 2],
                         .v_pages = &pages[pages.size() - 1],
                         .length = segments_[i].past + 1});
  }
  if (sequences.empty()) return;
  cpu::DecodeAttention call{.sequences = sequences.data(),
                            .sequence_count = static_cast<int64_t>(sequences.size()),
                            .dtype = cpu::dtype_of(q),
                            .cache_dtype = cpu::dtype_of(first_keys),
                            .heads = q.size(1),
                            .kv_heads = first_keys.size(0),
                            .head_dim = q.size(2),
                            .page_tokens = cache_.shape().capacity,
                            .token_stride = first_keys.stride(1),
                            .head_stride = first_keys.stride(0),
                            .scale = static_cast<float>(options.scale),
                            .window = options.window};
  const int64_t needed = cpu::decode_attention_workspace(call);
  if (!workspace_.defined() || workspace_.numel() < needed)
    workspace_ = at::empty({needed}, at::kFloat);
  call.workspace = workspace_.data_ptr<float>();
  cpu::cpu_kernels().decode_attention(call);
}

at::Tensor CachedAttention::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                   const at::Tensor& v, const ops::AttentionOptions& options) {
  store(layer, k, v);
  const at::Tensor queries = q.contiguous();
  at::Tensor out = at::empty_like(queries);
  const bool kernel = has_decode_kernel(queries);
  if (kernel) decode(layer, queries, out, options);
  for (size_t i = 0; i < segments_.size(); ++i) {
    const auto [slot, past, count] = segments_[i];
    if (kernel && count == 1) continue;
    const auto cached = [&, past = past, count = count](const at::Tensor& tensor) {
      return tensor.narrow(1, 0, past + count).transpose(0, 1);
    };
    out.narrow(0, starts_[i], count)
        .copy_(ops::cached_attention(queries.narrow(0, starts_[i], count),
                                     cached(cache_.keys(layer, slot)),
                                     cached(cache_.values(layer, slot)), options));
  }
  return out;
}

}  // namespace gradus
