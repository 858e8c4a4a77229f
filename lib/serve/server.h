// SPDX-License-Identifier: Apache-2.0
// The server from listening to the end of the drain.
#pragma once

#include <memory>
#include <string>

#include "serve/recipe.h"

namespace gradus {

class Server {
 public:
  // Listens and answers /livez and /health at once; everything else waits for load(). Throws
  // gradus::Error when the port is taken or keys or TLS files cannot be used. The recipe must
  // outlive the server.
  explicit Server(const ServeRecipe& recipe);
  ~Server();

  void load();  // the model; throws gradus::Error
  std::string url() const;
  std::string model_name() const;

  // Returns when a stop was asked for (base/signals.h): nothing new is accepted, running requests
  // get drain_seconds, the rest is cancelled with an error that its clients see.
  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Everything of a recipe that can be checked without weights and without a port. Throws
// gradus::Error.
void check_serve_recipe(const ServeRecipe& recipe);

}  // namespace gradus
