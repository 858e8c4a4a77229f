// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/globals.h"

#include <chrono>

#include "base/error.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

Value global_range(Arguments& arguments) {
  const auto bound = bind_arguments("range", arguments, {"start", "stop", "step"}, 1);
  const auto at = [&](size_t i) { return require_int(bound[i], "an argument of range()"); };
  if (bound[1].missing()) return Value::range(0, at(0), 1);
  return Value::range(at(0), at(1), bound[2].missing() ? 1 : at(2));
}

// dict(mapping or pairs, name=value…)
std::shared_ptr<DictObject> build_dict(const Arguments& arguments) {
  auto dict = std::make_shared<DictObject>();
  if (arguments.positional.size() > 1) throw Failure("dict expected at most 1 argument");
  for (const Value& source : arguments.positional) {
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.dict_object().entries()) dict->set(key, value);
      continue;
    }
    for (const Value& pair : to_items(source)) {
      const std::vector<Value> both = to_items(pair);
      if (both.size() != 2) throw Failure("dictionary update sequence needs pairs");
      dict->set(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) dict->set(Value::string(name), value);
  return dict;
}

struct DictType : HostObject {
  const char* type_name() const override { return "TemplateDict"; }
  std::string repr() const override { return "<TemplateDict>"; }
  Value call(Arguments& arguments) override { return Value::dict(build_dict(arguments)); }
  Value attribute(std::string_view name) override {
    if (name != "fromkeys") return {};
    return make_function("fromkeys", [](Arguments& arguments) {
      const auto bound = bind_arguments("fromkeys", arguments, {"iterable", "value"}, 1);
      auto dict = std::make_shared<DictObject>();
      for (const Value& key : to_items(bound[0])) {
        dict->set(key, bound[1].missing() ? Value::none() : bound[1]);
      }
      return Value::dict(std::move(dict));
    });
  }
};

Value global_namespace(Arguments& arguments) {
  auto space = std::make_shared<NamespaceObject>();
  const auto attributes = build_dict(arguments);
  for (const auto& [key, value] : attributes->entries()) {
    const std::string& name = require_string(key, "the name of an attribute").bytes;
    if (name.starts_with('_')) {
      throw Failure(
          cat("Chat templates cannot store underscore-prefixed attributes on a namespace, "
              "but got '",
              name, "'."));
    }
    space->set(name, value);
  }
  return Value::name_space(std::move(space));
}

struct CyclerObject : HostObject {
  explicit CyclerObject(std::vector<Value> values)
      : HostObject(nesting_of(values)), items(std::move(values)) {}
  const char* type_name() const override { return "Cycler"; }
  std::string repr() const override { return "<Cycler>"; }
  bool callable() const override { return false; }

  Value attribute(std::string_view name) override {
    const auto self = std::static_pointer_cast<CyclerObject>(shared_from_this());
    if (name == "current") return items[at];
    if (name == "next") {
      return make_function(
          "next",
          [self](Arguments&) {
            const size_t now = self->at;
            self->at = (now + 1) % self->items.size();
            return self->items[now];
          },
          Value::host(self));
    }
    if (name == "reset") {
      return make_function(
          "reset",
          [self](Arguments&) {
            self->at = 0;
            return Value::none();
          },
          Value::host(self));
    }
    return {};
  }

  const std::vector<Value> items;
  size_t at = 0;
};

Value global_cycler(Arguments& arguments) {
  if (!arguments.named.empty()) throw Failure("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) throw Failure("at least one item has to be provided");
  return Value::host(std::make_shared<CyclerObject>(arguments.positional));
}

Value global_joiner(Arguments& arguments) {
  const Value given = bind_arguments("joiner", arguments, {"sep"}, 0)[0];
  const Value separator = given.missing() ? Value::string(", ") : given;
  if (separator.depth() > 1) throw Failure("the separator of a joiner must be a string");
  return make_function("joiner", [separator, used = std::make_shared<bool>(false)](Arguments&) {
    const bool first = !*used;
    *used = true;
    return first ? Value::string("") : separator;
  });
}

Value global_raise(Arguments& arguments) {
  const Value message = bind_arguments("raise_exception", arguments, {"message"}, 1)[0];
  throw Failure(to_text(message).bytes);
}

// Python's strftime is the C library's plus %f.
std::string format_time(std::string format, std::time_t seconds, long microseconds) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%06ld", microseconds);
  for (size_t i = 0; i + 1 < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (format[i + 1] == 'f') format.replace(i, 2, digits);
    ++i;
  }
  std::tm local{};
  localtime_r(&seconds, &local);
  if (format.empty()) return {};
  std::string out(format.size() * 8 + 256, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &local));
  if (find_invalid_utf8(out)) throw Failure("the date is not UTF-8");
  return out;
}

Value global_now(const Arguments& arguments, std::optional<std::time_t> fixed) {
  const Value format = bind_arguments("strftime_now", arguments, {"format"}, 1)[0];
  const std::string& text = require_string(format, "the format").bytes;
  if (text.size() > 1000) throw Failure("the date format is too long");
  if (fixed) return Value::string(format_time(text, *fixed, 0));
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since).count();
  return Value::string(format_time(text, micros / 1'000'000, micros % 1'000'000));
}

}  // namespace

std::vector<std::pair<std::string, Value>> global_functions(std::optional<std::time_t> now) {
  const auto strftime_now = [now](Arguments& arguments) { return global_now(arguments, now); };
  return {
      {"range", make_function("range", global_range)},
      {"dict", Value::host(std::make_shared<DictType>())},
      {"namespace", make_function("namespace", global_namespace)},
      {"cycler", make_function("cycler", global_cycler)},
      {"joiner", make_function("joiner", global_joiner)},
      {"raise_exception", make_function("raise_exception", global_raise)},
      {"strftime_now", make_function("strftime_now", strftime_now)},
  };
}

}  // namespace gradus::jinja
