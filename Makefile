# SPDX-License-Identifier: Apache-2.0
# The thin front of the build: meson and ninja do the work. `make help` lists what there is.
BUILD ?= build
SCOPE ?= host
CONFIG ?= config/shrike.yaml
SECONDS ?= 30
NINJA = ninja -C $(BUILD)

all: $(BUILD)/build.ninja ## build the shrike binary into build/
	@$(NINJA) shrike
	@[ -z "$$SUDO_UID" ] || chown -R "$$SUDO_UID:$$SUDO_GID" $(BUILD) # built with sudo, it is still the caller's

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## install what the build needs (Debian packages)
	@tools/deps build

$(BUILD)/build.ninja:
	@tools/deps build
	@meson setup $(BUILD) >/dev/null

run: all ## install, build and watch this host; SCOPE=cgroup:/path or netns:NAME narrows it
	@$(BUILD)/shrike run --config $(CONFIG) --scope $(SCOPE) $(if $(filter file,$(origin CONFIG)),--set engines.detect.rules=$(CURDIR)/rules)

check: ## install, build and run every test, the guest kernels included
	@tools/check

kernels: ## run the kernel tests inside the Debian guest kernels
	@tools/check guests

bench: $(BUILD)/build.ninja ## print the figures, one JSON line each
	@tools/bench

soak: $(BUILD)/build.ninja ## does the agent's memory stay where it is? SECONDS=n, ten minutes unless told
	@$(NINJA) bench >/dev/null
	@SOAK_SECONDS=$(if $(filter file,$(origin SECONDS)),600,$(SECONDS)) $(BUILD)/bench/bench_soak

noise: all ## do the rules keep quiet while ordinary work is done? SECONDS=n, an hour unless told
	@tests/noise/run $(if $(filter file,$(origin SECONDS)),3600,$(SECONDS))

fuzz: ## run every fuzz target for SECONDS=n
	@tools/fuzz $(SECONDS)

lint: ## formatting, layers, shell scripts
	@tools/check lint

fmt: ## format the C code
	@git ls-files -co --exclude-standard '*.[ch]' | xargs clang-format-19 -i

reference: all ## write the generated pages and the default configuration again
	@tools/reference

install: all ## install into DESTDIR and the prefix that meson was set up with
	@meson install -C $(BUILD)

clean: ## remove the build folders
	@rm -rf build build-*

.PHONY: all help deps run check kernels bench soak noise fuzz lint fmt reference install clean
