// The parts of `atelier data`, each with its commands. Thread safety: main.
#pragma once

#include "trainer/app/commands.h"

namespace atelier::app {

void add_data_make(CLI::App& group, Action& chosen);
void add_data_import(CLI::App& group, Action& chosen);
void add_data_tools(CLI::App& group, Action& chosen);

}  // namespace atelier::app
