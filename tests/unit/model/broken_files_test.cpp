// SPDX-License-Identifier: Apache-2.0
// Files broken by hand in the ways that programs of this kind have been broken by: sizes whose
// product wraps, counts beyond the file, offsets that overlap or lead outside, names given twice,
// names that lead out of the folder, deep nesting. Each is refused with one clear line, at once,
// and without much memory.
#include <chrono>
#include <fstream>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "model/adapter.h"
#include "model/folder.h"
#include "model/gguf/import.h"
#include "support/catch.h"
#include "support/tiny_model.h"
#include "unit/model/formats/gguf_builder.h"

// Last: libtorch has a CHECK of its own.

using Catch::Matchers::Contains;

namespace gradus {
namespace {

using Builder = GgufBuilder;

struct Case {
  const char* name;
  const char* word;  // of the refusal
  std::function<void(const fs::path& folder)> write;
};

// The most memory that the process has had since it was last asked for, in MiB.
int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  std::string line;
  int64_t kilobytes = 0;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) kilobytes = std::stoll(line.substr(6));
  }
  return kilobytes / 1024;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

void check_refusals(const std::vector<Case>& cases,
                    const std::function<void(const fs::path& folder)>& read) {
  constexpr int64_t kMostMemory = 32;  // MiB
  constexpr double kMostSeconds = 5;
  for (const Case& entry : cases) {
    INFO(entry.name);
    const TemporaryFolder folder;
    entry.write(folder.path());
    forget_peak();
    const int64_t before = peak_memory();
    const auto start = std::chrono::steady_clock::now();
    std::string refusal = "accepted";
    try {
      read(folder.path());
    } catch (const Error& error) {
      refusal = error.what();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    CHECK_THAT(refusal, Contains(entry.word));
    CHECK_THAT(refusal, Contains(folder.path().string()));
    CHECK(refusal.find('\n') == std::string::npos);
    CHECK(refusal.size() < 1000);
    CHECK(seconds.count() < kMostSeconds);
    CHECK(peak_memory() - before < kMostMemory);
  }
}

std::string repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string deep(size_t levels) { return repeated("[", levels) + repeated("]", levels); }

// -- safetensors ----------------------------------------------------------------------------------

std::string safetensors(const std::string& header, const std::string& data = "") {
  return Builder::number(uint64_t{header.size()}) + header + data;
}

std::string entry(const std::string& name, const std::string& shape, const std::string& offsets,
                  const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

Case weights(const char* name, const char* word, const std::string& image) {
  return {name, word, [image](const fs::path& folder) {
            save_model(folder, tiny_model());
            write_file_atomic(folder / "model.safetensors", image);
          }};
}

Case shard(const char* name, const char* word, const std::string& map) {
  return {name, word, [map](const fs::path& folder) {
            save_model(folder, tiny_model());
            fs::rename(folder / "model.safetensors", folder / "one.safetensors");
            write_file_atomic(folder / "model.safetensors.index.json",
                              "{\"weight_map\": " + map + "}");
          }};
}

std::string one_header(const std::string& tensor) {
  return safetensors("{" + tensor + "}", "1234");
}

const std::vector<Case> kSafetensors{
    weights("empty", "too short", ""),
    weights("a header of 2^64 - 1", "too large", std::string(8, '\xff')),
    weights("a header of 2^40", "too large", Builder::number(uint64_t{1} << 40)),
    weights("a header beyond the file", "ends inside", Builder::number(uint64_t{90} << 20) + "{}"),
    weights("nesting", "an array where none belongs", safetensors(deep(100'000))),
    weights("nesting in a tensor", "an array where none belongs",
            one_header("\"a\":" + deep(100'000))),
    weights("elements wrap 2^64", "too large",
            one_header(entry("a", "[4294967296,4294967296]", "[0,4]"))),
    weights("bytes wrap 2^64", "too large",
            one_header(entry("a", "[4611686018427387905]", "[0,4]"))),
    weights("a size beyond int64", "shape",
            one_header(entry("a", "[18446744073709551617]", "[0,4]"))),
    weights("a negative size", "shape", one_header(entry("a", "[-1]", "[0,4]"))),
    weights("many dimensions", "",
            one_header(entry("a", "[" + repeated("1,", 100'000) + "1]", "[0,4]"))),
    weights("an offset of 2^64 - 1", "data_offsets",
            one_header(entry("a", "[1]", "[18446744073709551615,3]"))),
    weights("an offset beyond the file", "", one_header(entry("a", "[2]", "[0,8]"))),
    weights("an end before its beginning", "data_offsets", one_header(entry("a", "[1]", "[4,0]"))),
    weights("a negative offset", "data_offsets", one_header(entry("a", "[1]", "[-4,0]"))),
    weights("a name given twice", "duplicate",
            one_header(entry("a", "[1]", "[0,4]") + "," + entry("a", "[1]", "[0,4]"))),
    weights("tensors that overlap", "overlap",
            one_header(entry("a", "[1]", "[0,4]") + "," + entry("b", "[1]", "[0,4]"))),
    weights("a gap", "gap", one_header(entry("a", "[2]", "[2,4]", "U8"))),
    weights("a dtype that is none", "dtype", one_header(entry("a", "[1]", "[0,4]", "F77"))),
    weights("control letters in a name", "a\\x1b",
            one_header(entry("a\\u001b[31m", "[3]", "[0,4]"))),
    shard("a shard above the folder", "plain file name", R"({"a": "../one.safetensors"})"),
    shard("a shard by its full path", "plain file name", R"({"a": "/etc/passwd"})"),
    shard("a shard called ..", "plain file name", R"({"a": ".."})"),
    shard("a shard without a name", "plain file name", R"({"a": ""})"),
    shard("a shard that is absent", "none.safetensors", R"({"a": "none.safetensors"})"),
    shard("a tensor that its shard lacks", "has no tensor", R"({"absent": "one.safetensors"})"),
    shard("tensors that the index lacks", "not listed", R"({"lm_head.weight": "one.safetensors"})"),
    shard("a name given twice in the index", "duplicate",
          R"({"a": "one.safetensors", "a": "one.safetensors"})"),
    shard("an index that is a list", "weight_map", "[]"),
    shard("a shard that is a number", "a string", R"({"a": 5})"),
};

// -- config.json ----------------------------------------------------------------------------------

Case config(const char* name, const char* word, const Json& changes) {
  return {name, word, [changes](const fs::path& folder) {
            save_model(folder, tiny_model());
            Json json = read_json(folder / "config.json");
            json.update(changes);
            write_json(folder / "config.json", json);
          }};
}

Case config_text(const char* name, const char* word, const std::string& text) {
  return {name, word, [text](const fs::path& folder) {
            save_model(folder, tiny_model());
            write_file_atomic(folder / "config.json", text);
          }};
}

Json all_sizes(int64_t size) {
  Json sizes;
  for (const char* key : {"hidden_size", "intermediate_size", "num_attention_heads", "head_dim",
                          "num_key_value_heads", "vocab_size", "max_position_embeddings"})
    sizes[key] = size;
  return sizes;
}

const Json kExperts{
    {"model_type", "mixtral"}, {"num_local_experts", 4096}, {"num_experts_per_tok", 4096}};

const std::vector<Case> kConfigs{
    config_text("empty", "JSON", ""),
    config_text("cut short", "JSON", R"({"model_type": "llama", )"),
    config_text("a list", "", "[]"),
    config_text("nesting", "nested", deep(100'000)),
    config_text("a key given twice", "duplicate",
                R"({"model_type": "llama", "model_type": "qwen2"})"),
    config_text("a NUL byte", "NUL", std::string("{}\0{}", 5)),
    config_text("a number that is infinite", "",
                R"({"model_type": "llama", "rms_norm_eps": 1e999})"),
    config("layers beyond all models", "num_hidden_layers", {{"num_hidden_layers", 1 << 24}}),
    config("layers of 2^62", "num_hidden_layers", {{"num_hidden_layers", int64_t{1} << 62}}),
    config("layers of 2^64 - 1", "num_hidden_layers", {{"num_hidden_layers", ~uint64_t{0}}}),
    config("no layers", "num_hidden_layers", {{"num_hidden_layers", 0}}),
    config("as many layers as may be", "larger model", {{"num_hidden_layers", 4096}}),
    config("sizes whose product wraps", "too large", all_sizes(1 << 24)),
    config("a vocabulary beyond the file", "larger model", {{"vocab_size", 1 << 24}}),
    config("negative heads", "num_attention_heads", {{"num_attention_heads", -4}}),
    config("heads that do not divide", "num_key_value_heads", {{"num_key_value_heads", 3}}),
    config("a head of 2^40", "head_dim", {{"head_dim", int64_t{1} << 40}}),
    config("a size that is text", "hidden_size", {{"hidden_size", "64"}}),
    config("a size that is a fraction", "hidden_size", {{"hidden_size", 64.5}}),
    config("an epsilon below 0", "epsilon", {{"rms_norm_eps", -1.0}}),
    config("a window of 2^40", "sliding_window",
           {{"model_type", "mistral"}, {"sliding_window", int64_t{1} << 40}}),
    config("experts beyond the file", "larger model", kExperts),
    config(
        "a million experts", "experts",
        {{"model_type", "mixtral"}, {"num_local_experts", 1'000'000}, {"num_experts_per_tok", 1}}),
    config("kinds of a million layers", "layer_types",
           {{"model_type", "mistral"},
            {"sliding_window", 4},
            {"layer_types", Json::array_t(1'000'000, "full_attention")}}),
    config("a million frequencies", "factor",
           {{"rope_scaling",
             {{"rope_type", "longrope"},
              {"long_factor", Json::array_t(1'000'000, 1.0)},
              {"short_factor", {1.0}}}}}),
    config("yarn without turns", "beta_fast",
           {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"beta_fast", 0}}}}),
    config("yarn with turns below 0", "beta_slow",
           {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"beta_slow", -1}}}}),
    config("yarn of a base of 1", "rope_theta",
           {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"rope_theta", 1.0}}}}),
    config("an attention factor below 0", "rotary",
           {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"attention_factor", -2}}}}),
    config("frequencies without a range", "high_freq_factor",
           {{"rope_scaling",
             {{"rope_type", "llama3"},
              {"factor", 8.0},
              {"low_freq_factor", 2.0},
              {"high_freq_factor", 2.0}}}}),
    config("logits divided by almost 0", "scale",
           {{"model_type", "granite"}, {"logits_scaling", 1e-320}}),
    config("a residual scale below 0", "scale",
           {{"model_type", "granite"}, {"residual_multiplier", -1.0}}),
    config("a family that is none", "model_type", {{"model_type", std::string(100'000, 'x')}}),
    config("a dtype that is none", "dtype", {{"dtype", "float7"}, {"torch_dtype", "float7"}}),
    config("groups of 2^62", "",
           {{"quantization_config",
             {{"quant_method", "gptq"},
              {"bits", 4},
              {"group_size", int64_t{1} << 62},
              {"sym", true}}}}),
    config("bits of 2^31", "bits",
           {{"quantization_config",
             {{"quant_method", "gptq"}, {"bits", int64_t{1} << 31}, {"group_size", 128}}}}),
};

// -- adapters -------------------------------------------------------------------------------------

const Json kAdapter{
    {"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 8}, {"target_modules", {"q_proj"}}};

Case adapter(const char* name, const char* word, const Json& changes, const std::string& image) {
  return {name, word, [changes, image](const fs::path& folder) {
            Json json = kAdapter;
            json.update(changes);
            write_json(folder / "adapter_config.json", json);
            write_file_atomic(folder / "adapter_model.safetensors", image);
          }};
}

Case adapter(const char* name, const char* word, const Json& changes) {
  return adapter(name, word, changes, safetensors("{}"));
}

std::string lora(const std::string& a, const std::string& b) {
  const std::string place = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  return safetensors("{" + entry(place + "A.weight", a, "[0,1024]") + "," +
                         entry(place + "B.weight", b, "[1024,2048]") + "}",
                     std::string(2048, '\0'));
}

const std::vector<Case> kAdapters{
    adapter("a rank of 2^40", "rank", {{"r", int64_t{1} << 40}}),
    adapter("a rank of 2^64 - 1", "", {{"r", ~uint64_t{0}}}),
    adapter("a rank below 0", "rank", {{"r", -1}}),
    adapter("a rank of 2^40 by name", "rank", {{"rank_pattern", {{"q_proj", int64_t{1} << 40}}}}),
    adapter("an infinite scale", "",
            {{"lora_alpha", 1e308}, {"alpha_pattern", {{"q_proj", "inf"}}}}),
    adapter("a pattern that never ends", "",
            {{"target_modules", "(" + repeated("(a*)*", 50) + ")*$"}}),
    adapter("a pattern of a million letters", "",
            {{"target_modules", std::string(1'000'000, '(')}}),
    adapter("repetitions of repetitions", "",
            {{"target_modules", "((((a{1000}){1000}){1000}){1000})"}}),
    adapter("a method that is none", "LORA", {{"peft_type", std::string(100'000, 'x')}}),
    adapter("layers of 2^64 - 1", "", {{"layers_to_transform", {~uint64_t{0}}}}),
    adapter("nothing stored", "", Json::object()),
    adapter("a header beyond the file", "ends inside", Json::object(),
            Builder::number(uint64_t{1} << 20)),
    adapter("other ranks than it says", "rank", Json::object(), lora("[2,128]", "[128,2]")),
    adapter("vectors for matrices", "", Json::object(), lora("[256]", "[256]")),
    adapter("ranks that differ", "", Json::object(), lora("[4,64]", "[32,8]")),
    adapter("a name given twice", "duplicate", Json::object(),
            safetensors("{" + entry("a", "[0]", "[0,0]") + "," + entry("a", "[0]", "[0,0]") + "}")),
    adapter("a name that leads outside", "base_model.model", Json::object(),
            safetensors("{" + entry("../../x.lora_A.weight", "[0]", "[0,0]") + "}")),
};

// -- GGUF -----------------------------------------------------------------------------------------

Case gguf(const char* name, const char* word, const std::string& image) {
  return {name, word,
          [image](const fs::path& folder) { write_file_atomic(folder / "m.gguf", image); }};
}

Builder llama(uint32_t layers = 1) {
  Builder builder;
  builder.key("general.architecture", std::string("llama")).key("llama.block_count", layers);
  for (const char* key : {"context_length", "embedding_length", "feed_forward_length",
                          "attention.head_count", "attention.head_count_kv"})
    builder.key(std::string("llama.") + key, 8u);
  return builder.key("llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

std::string tensor(const std::vector<uint64_t>& sizes, uint64_t offset = 0, uint32_t type = 0) {
  return llama()
      .tensor("token_embd.weight", sizes, type, offset)
      .data(std::string(256, 'x'))
      .build();
}

std::string pair(const char* second, uint64_t offset) {
  return llama()
      .tensor("a", {8}, 0, 0)
      .tensor(second, {8}, 0, offset)
      .data(std::string(96, 'x'))
      .build();
}

std::string claims(uint64_t tensors, uint64_t keys) {
  Builder builder = llama();
  builder.extra_tensors = tensors;
  builder.extra_keys = keys;
  return builder.build();
}

std::string array(uint32_t type, uint64_t count, const std::string& items = "") {
  return llama().array("tokenizer.ggml.tokens", type, count, items).build();
}

std::string arrays_in_arrays(size_t depth) {
  std::string items;
  for (size_t i = 0; i < depth; ++i)
    items += Builder::number(uint32_t{9}) + Builder::number(uint64_t{1});
  return array(9, 1, items);
}

// A norm for each head, of which there are not so many.
std::string with_heads(uint32_t heads) {
  Builder builder;
  builder.key("general.architecture", std::string("stablelm"));
  for (const auto& [key, value] :
       std::map<std::string, uint32_t>{{"block_count", 1},
                                       {"context_length", 8},
                                       {"embedding_length", 4 * heads},
                                       {"feed_forward_length", 8},
                                       {"attention.head_count", heads},
                                       {"attention.head_count_kv", heads},
                                       {"attention.key_length", 4},
                                       {"attention.value_length", 4},
                                       {"rope.dimension_count", 2}})
    builder.key("stablelm." + key, value);
  builder.key("stablelm.attention.layer_norm_epsilon", 1e-5f);
  builder.key("stablelm.use_parallel_residual", 7, std::string(1, '\1'));
  builder.array("tokenizer.ggml.tokens", 8, 1, Builder::text("a"));
  return builder.stored("token_embd.weight", {8, 8}, 0, std::string(256, 'x'))
      .stored("blk.0.attn_q_norm.weight", {4, 8}, 0, std::string(128, 'x'))
      .build();
}

std::string with_layers(uint32_t layers) {
  return llama(layers).stored("token_embd.weight", {8, 8}, 0, std::string(256, 'x')).build();
}

const std::vector<Case> kGguf{
    gguf("empty", "truncated", ""),
    gguf("2^64 - 1 tensors", "number of tensors", claims(~uint64_t{0}, 0)),
    gguf("2^60 tensors", "number of tensors", claims(uint64_t{1} << 60, 0)),
    gguf("2^62 keys", "number of metadata keys", claims(0, uint64_t{1} << 62)),
    gguf("a text of 2^64 - 1 bytes", "string",
         llama().key("a", 8, Builder::number(~uint64_t{0})).build()),
    gguf("a text of 2^63 bytes", "string",
         llama().key("a", 8, Builder::number(uint64_t{1} << 63)).build()),
    gguf("a list whose bytes wrap", "array elements", array(10, uint64_t{1} << 61)),
    gguf("a list of 2^64 - 1 texts", "array elements", array(8, ~uint64_t{0})),
    gguf("lists in lists", "array inside an array", arrays_in_arrays(100'000)),
    gguf("a key given twice", "duplicate", llama().key("a", 1u).key("a", 1u).build()),
    gguf("an unknown kind of value", "value type", llama().key("a", 77, "1234").build()),
    gguf("elements wrap 2^64", "too large", tensor({uint64_t{1} << 32, uint64_t{1} << 32})),
    gguf("elements wrap to a small number", "too large", tensor({(uint64_t{1} << 62) + 2, 8})),
    gguf("bytes wrap 2^64", "too large", tensor({uint64_t{1} << 62})),
    gguf("a negative size", "positive", tensor({~uint64_t{0}})),
    gguf("no elements", "positive", tensor({8, 0})),
    gguf("blocks that wrap", "too large", tensor({uint64_t{1} << 40, uint64_t{1} << 24}, 0, 12)),
    gguf("five dimensions", "dimensions", tensor({1, 1, 1, 1, 8})),
    gguf("an offset of 2^64 - 32", "offset", tensor({8, 8}, ~uint64_t{31})),
    gguf("an offset beyond the file", "truncated", tensor({8, 8}, 1 << 20)),
    gguf("an offset between the places", "aligned", tensor({8, 4}, 4)),
    gguf("tensors that overlap", "overlaps", pair("b", 0)),
    gguf("a tensor's name given twice", "duplicate", pair("a", 32)),
    gguf("an unknown type of tensor", "not supported", tensor({8, 8}, 0, 4711)),
    gguf("alignment 0", "alignment", llama().key("general.alignment", 0u).build()),
    gguf("alignment 3", "alignment", llama().key("general.alignment", 3u).build()),
    gguf("alignment of 2^31", "alignment", llama().key("general.alignment", 1u << 31).build()),
    gguf("as many layers as a number can say", "block_count", with_layers(~0u)),
    gguf("more layers than tensors", "block_count", with_layers(100'000)),
    gguf("a million heads with a norm each", "do not fit", with_heads(1 << 20)),
    gguf("a part of 65535", "part",
         llama().key("split.count", 2, Builder::number(uint16_t{65535})).build()),
    gguf("an architecture of a megabyte", "architecture",
         Builder().key("general.architecture", std::string(1 << 20, 'x')).build()),
};

}  // namespace

TEST_CASE("broken weights are refused at once") {
  check_refusals(kSafetensors, [](const fs::path& folder) { load_model(folder, {}); });
}

TEST_CASE("broken configurations are refused at once") {
  check_refusals(kConfigs, [](const fs::path& folder) { load_model(folder, {}); });
}

TEST_CASE("broken adapters are refused at once") {
  check_refusals(kAdapters, [](const fs::path& folder) {
    Transformer model = tiny_model();
    attach_adapter(model, read_adapter(folder));
  });
}

TEST_CASE("broken GGUF files are refused at once") {
  check_refusals(kGguf, [](const fs::path& folder) {
    fs::create_directory(folder / "out");
    import_gguf(folder / "m.gguf", folder / "out", "float32");
  });
}

TEST_CASE("a weight file may be a link, as in a cache of models") {
  const TemporaryFolder folder;
  save_model(folder.path(), tiny_model());
  fs::create_directory(folder / "blobs");
  fs::rename(folder / "model.safetensors", folder / "blobs/1");
  fs::create_symlink("blobs/1", folder / "model.safetensors");
  CHECK(load_model(folder.path(), {}).layers().size() == 3);
}

}  // namespace gradus
