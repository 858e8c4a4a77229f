// SPDX-License-Identifier: Apache-2.0
// The forms of RWKV-7's config.json that flash-linear-attention has written.
#include "model/config.h"
#include "support/catch.h"

namespace gradus {
namespace {

Json fla_config(const Json& changes) {
  Json json{{"model_type", "rwkv7"},    {"hidden_size", 2048},
            {"num_hidden_layers", 2},   {"vocab_size", 160},
            {"head_dim", 64},           {"num_heads", 32},
            {"hidden_ratio", 4.0},      {"intermediate_size", nullptr},
            {"attn", nullptr},          {"hidden_act", "sqrelu"},
            {"value_dim", {2048, 2048}}};
  json.update(changes);
  return json;
}

ModelConfig read(const Json& changes) { return model_config_from_json(fla_config(changes), "t"); }

}  // namespace

TEST_CASE("ranks that RWKV-7's config.json leaves out are those of its class") {
  const RecurrentConfig ranks = read(Json::object()).recurrent;
  CHECK(ranks.decay_rank == 64);
  CHECK(ranks.rate_rank == 64);
  CHECK(ranks.value_rank == 16);
  CHECK(ranks.gate_rank == 128);
}

// max(32, int(round(factor * hidden_size**0.5 * (head_dim / 64) / 32) * 32)), of
// fla/layers/rwkv7.py.
TEST_CASE("ranks that are null follow from the width") {
  Json none;
  for (const char* key :
       {"decay_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim"})
    none[key] = nullptr;
  const RecurrentConfig usual = read(none).recurrent;
  CHECK(usual.decay_rank == 128);
  CHECK(usual.rate_rank == 128);
  CHECK(usual.value_rank == 64);
  CHECK(usual.gate_rank == 224);
  none["head_dim"] = 128;
  const RecurrentConfig wide = read(none).recurrent;
  CHECK(wide.decay_rank == 224);
  CHECK(wide.value_rank == 160);
  CHECK(wide.gate_rank == 224);
}

TEST_CASE("sizes of RWKV-7 have two names") {
  CHECK(read(Json::object()).intermediate_size == 8192);
  CHECK(read({{"intermediate_size", 7168}}).intermediate_size == 7168);
  CHECK(read({{"head_dim", nullptr}, {"num_heads", 16}}).head_dim == 128);
  CHECK(read({{"value_dim", nullptr}}).head_dim == 64);
}

TEST_CASE("what RWKV-7's class can do and this version cannot is refused by name") {
  using Catch::Contains;
  CHECK_THROWS_WITH(read({{"value_dim", {4096, 4096}}}), Contains("value_dim"));
  CHECK_THROWS_WITH(read({{"attn", {{"layers", {1}}}}}), Contains("attn"));
  CHECK_THROWS_WITH(read({{"hidden_act", "relu"}}), Contains("hidden_act"));
  CHECK_THROWS_WITH(model_config_from_json({{"model_type", "rwkv"},
                                            {"hidden_size", 32},
                                            {"num_hidden_layers", 2},
                                            {"vocab_size", 160},
                                            {"layer_norm_epsilon", 1e-6}},
                                           "t"),
                    Contains("layer_norm_epsilon"));
}

}  // namespace gradus
