// SPDX-License-Identifier: Apache-2.0
// Commands for pipeline tests, run by a shell script in place of the gradus program:
//   copy   writes the text of `input` followed by `text` to the file `out`
//   train  makes the folder `out` step by step, resuming from its count of steps; `model` holds
//          one line per step and ends with the digest-relevant result
//   gate   writes `out`, then refuses (exit 4) when `input` holds the word `forbidden`
#pragma once

#include <sys/stat.h>

#include "base/temporary_folder.h"
#include "pipeline/executor.h"

namespace gradus::test {

struct CopyRecipe {
  std::string input, text, out;
  template <class V>
  void visit(V& v) {
    v("input", input, "file to read", rule::path_input);
    v("text", text, "text to add");
    v("out", out, "file to write", rule::required, rule::path_output);
  }
};

struct TrainSettings {
  int64_t steps = 3;
  std::string note;  // changes the key and not the result
  template <class V>
  void visit(V& v) {
    v("steps", steps, "number of steps", rule::positive);
    v("note", note, "ignored");
  }
};

struct TrainRecipe {
  std::string data, out, cache = ".cache";
  TrainSettings train;
  template <class V>
  void visit(V& v) {
    v("data", data, "file to read", rule::path_input, rule::required);
    v("out", out, "folder to write", rule::required, rule::path_output);
    v("cache", cache, "shared folder", rule::path_cache);
    v("train", train, "settings");
  }
};

inline std::vector<StageCommand> fake_commands() {
  return {stage_command<CopyRecipe>("copy", AfterCrash::kStartsOver),
          stage_command<CopyRecipe>("gate check", AfterCrash::kStartsOver),
          stage_command<TrainRecipe>("train", AfterCrash::kResumes)};
}

// Values are read with sed from the block-style YAML that dump_recipe writes. Each call is noted in
// `calls`; a file `die` holding N kills the script's parent group after N further actions.
inline const char* kScript = R"sh(#!/bin/sh
here=$(dirname "$0")
command=$1; shift
[ "$command" = gate ] && shift
recipe=$1
value() { sed -n "s/^ *$1: *//p" "$recipe" | sed 's/^"\(.*\)"$/\1/'; }
echo "$command $(value out | sed 's|.*/||') $2" >> "$here/calls"
[ "$2" = --check ] && { [ "$(value text)" != unsound ]; exit $?; }
act() {
  [ -f "$here/die" ] || return 0
  left=$(cat "$here/die")
  if [ "$left" -le 0 ]; then rm "$here/die"; kill -9 $$; fi
  echo $((left - 1)) > "$here/die"
}
out=$(value out)
case $command in
copy | gate)
  [ -e "$out" ] && { echo "exists" >&2; exit 1; }
  act
  input=$(value input)
  mkdir -p "$(dirname "$out")"
  { [ -n "$input" ] && cat "$input"; value text; } > "$out"
  act
  [ "$command" = gate ] && grep -q forbidden "$out" && exit 4
  ;;
train)
  mkdir -p "$out"
  steps=$(value steps)
  touch "$out/state"
  while [ "$(wc -l < "$out/state")" -lt "$steps" ]; do
    act
    echo "step $(tr -s '\n' ' ' < "$(value data)")" >> "$out/state"
    [ -f "$here/slow" ] && sleep 0.05
  done
  act
  cp "$out/state" "$out/model"
  date +%N > "$out/metrics.jsonl"
  act
  ;;
esac
exit 0
)sh";

// A folder with the script, an input file and a place for outputs.
class FakeWorld {
 public:
  FakeWorld() {
    write_file_atomic(root_ / "program", kScript);
    ::chmod((root_ / "program").c_str(), 0755);
    write_file_atomic(root_ / "data.txt", "rain\n");
    write_recipe(R"(
out: ROOT/out
vars: {data: ROOT/data.txt, l1: "${out}/l1"}
stages:
  - name: report
    command: copy
    recipe: {input: "${out}/l2/model", text: end, out: "${out}/report.txt"}
  - name: l2
    command: train
    recipe: {data: "${l1}/model", out: "${out}/l2", train: {steps: 2}}
  - name: l1
    command: train
    recipe: {data: "${data}", out: "${l1}"}
)");
  }

  fs::path operator/(const std::string& name) const { return root_ / name; }

  // ROOT stands for this world's folder.
  void write_recipe(std::string yaml) {
    for (size_t at; (at = yaml.find("ROOT")) != std::string::npos;)
      yaml.replace(at, 4, root_.path().string());
    write_file_atomic(root_ / "pipeline.yaml", yaml);
  }
  Pipeline pipeline(const std::vector<std::string>& overrides = {}) const {
    return build_pipeline(load_pipeline_recipe(root_ / "pipeline.yaml", overrides),
                          fake_commands());
  }
  ExecutorOptions options() const { return {.program = root_ / "program", .version = "1"}; }
  PipelineResult run(const std::vector<std::string>& overrides = {}) const {
    const Pipeline made = pipeline(overrides);
    return Executor(made, options()).run();
  }
  PipelineResult plan(const std::vector<std::string>& overrides = {}) const {
    const Pipeline made = pipeline(overrides);
    return Executor(made, options()).plan();
  }
  // The calls since the last time, one a line.
  std::string calls() const {
    const fs::path path = root_ / "calls";
    if (!fs::exists(path)) return "";
    const std::string text = read_file(path);
    fs::remove(path);
    return text;
  }

 private:
  TemporaryFolder root_;
};

// "l1: ran, l2: up to date"
inline std::string statuses(const PipelineResult& result) {
  std::string text;
  for (const StageResult& stage : result.stages)
    text += (text.empty() ? "" : ", ") + stage.name + ": " + to_string(stage.status);
  return text;
}

inline std::string reasons(const PipelineResult& result, const std::string& stage) {
  std::string text;
  for (const StageResult& found : result.stages) {
    if (found.name != stage) continue;
    for (const std::string& reason : found.reasons) text += (text.empty() ? "" : "; ") + reason;
  }
  return text;
}

}  // namespace gradus::test
