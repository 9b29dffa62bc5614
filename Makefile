# Targets that stay for good: all, deps, image, demo, test (= test-unit + test-conformance + test-examples + test-e2e),
# bench, docs, lint, install, clean. `make help` says what each does.

PREFIX  ?= /usr/local
STAGE   := build
IMAGE   := $(STAGE)/image
JOBS    ?= $(shell nproc)

# The staged tree finds its run-time libraries by its own layout, not by this machine's tool chain.
RELEASE := -c release -j $(JOBS) -Xswiftc -no-toolchain-stdlib-rpath
MODULES := CurlFetcher TFTPStore LocalTransport SSHRemote BtrfsStorage DirectoryStorage QEMUDirect Libvirt
MODULE_BUILD := --package-path Plugins --scratch-path .build-modules

.PHONY: all help deps stage image image-if-older demo test test-unit test-conformance test-examples test-e2e bench docs lint \
    install clean

all: stage

help:
	@echo 'make                   executables and modules, staged under build/'
	@echo 'make deps              install the Debian packages that building, testing and the demo need (root)'
	@echo 'make image             the OS image in build/image (root)'
	@echo 'make demo              boot a build host by PXE and have it build a package in a machine of its own (root)'
	@echo 'make test              test-unit, test-conformance, test-examples and test-e2e'
	@echo 'make test-unit         the kit and the commands; no root, seconds once built'
	@echo 'make test-conformance  every backend, linked and as a loaded module (root for btrfs)'
	@echo 'make test-examples     build and run the examples: a backend of somebody else, a program that embeds'
	@echo 'make test-e2e          build hosts booted by PXE in QEMU (root)'
	@echo 'make bench             speed and size beside what one would use instead'
	@echo 'make docs              put what the backends can do into docs/backends.md'
	@echo 'make lint              formatting, and a build with warnings as errors'
	@echo 'make install PREFIX=   the staged tree under PREFIX'

deps:
	./Scripts/install-packages

stage:
	swift build $(RELEASE) --product buildosctl
	swift build $(RELEASE) --product buildosd
	swift build $(RELEASE) $(MODULE_BUILD)
	./Scripts/stage $(STAGE) $(MODULES)

image: stage
	$(STAGE)/bin/buildosctl image build --output $(IMAGE)

# For those who only want to see a host: an image that is newer than what it is made from will do.
image-if-older: stage
	@if [ -n "$$(find $(STAGE)/bin $(STAGE)/lib $(STAGE)/share -type f -newer $(IMAGE)/buildos-buildid -print -quit \
	    2>&1)" ]; then $(STAGE)/bin/buildosctl image build --output $(IMAGE); fi

demo:
	./Scripts/demo

test: test-unit test-conformance test-examples test-e2e

test-unit:
	swift test --filter '^BuildOSKitTests\.'

# Each of these tests runs programs, many of them virtual machines: too many at once, and time limits pass for nothing.
test-conformance: stage
	swift test --filter '^BackendConformance\.' --experimental-maximum-parallelization-width 4

test-examples: stage
	./Examples/test

test-e2e: image
	swift test --filter '^EndToEnd\.'

bench: image
	./Benchmarks/run

docs: stage
	./Scripts/update-docs

lint:
	swift format lint --strict --recursive Sources Tests Examples Package.swift Plugins/Package.swift
	swift build --build-tests -j $(JOBS) -Xswiftc -warnings-as-errors --scratch-path .build-lint

install: stage
	install -d $(DESTDIR)$(PREFIX)
	cp -a $(STAGE)/bin $(STAGE)/lib $(STAGE)/share $(DESTDIR)$(PREFIX)/

clean:
	rm -rf $(STAGE) .build .build-modules .build-lint
