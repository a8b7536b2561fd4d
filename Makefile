# The build and the tests. "make test" sets up what it needs on Debian 12.

export CGO_ENABLED = 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILDFLAGS = -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# Arguments for the full kernel's tests, as in: make test-vm VM='-v -run Redirect ./nft'
VM =

.PHONY: build
build:
	go build $(BUILDFLAGS) -o culvert ./cmd/culvert

.PHONY: setup
setup:
	tests/setup.sh

# Runs everything: on this host's kernel what that can do, then what needs an
# etcd or Prometheus, which are modules of their own, and on a full kernel all that
# has to do with a kernel, there without a skip.
.PHONY: test
test: setup lint build/vm build/report
	build/report 'host=go test -json -count=1 -timeout 20m ./...' 'etcd!=cd tests/etcd && go test -json -count=1 -timeout 20m ./...' 'alerts!=cd tests/alerts && go test -json -count=1 -timeout 10m ./...' 'full!=build/vm -json'

.PHONY: test-vm
test-vm: setup build/vm
	build/vm $(VM)

.PHONY: lint
lint:
	@test -z "$$(gofmt -l .)" || { echo "not as gofmt wants it:"; gofmt -l .; exit 1; }
	go vet ./...
	go build -o build/staticcheck honnef.co/go/tools/cmd/staticcheck
	build/staticcheck ./...
	cd tests/etcd && go vet -tags fullkernel ./... && ../../build/staticcheck -tags fullkernel ./...
	cd tests/alerts && go vet ./... && ../../build/staticcheck ./...

# Plays the NAT gateway's story, in a machine with a full kernel where this
# host's own kernel cannot.
.PHONY: demo
demo: setup build build/vm
	build/vm -prefer-host -exec 'culvert lab demo'

# Measures what docs/performance.md lists, in less than five minutes. Nothing else should run meanwhile.
.PHONY: bench
bench: setup
	go test -run '^$$' -bench 'Apply|Observe' -benchtime 20x ./nft ./overlay
	go test -run '^$$' -bench 'Look' -benchtime 200x ./agent
	go test -run '^$$' -bench 'PlanFleet|LockFile|Parse' -benchtime 1x ./portmap ./config
	go test -run '^$$' -bench '.' -benchtime 20x ./ipvs/maglev
	go test -run '^$$' -bench 'Path' -benchtime 1x ./nft

# Measures a daemon on a host of 300 tenants with 100 VMs each and all their devices: some minutes.
.PHONY: scale
scale: setup
	CULVERT_SCALE=300x100 go test -run TestScale -count=1 -timeout 30m -v ./cmd/culvert

.PHONY: clean
clean:
	rm -rf build culvert

# go knows best whether these are up to date.
.PHONY: build/vm build/report
build/vm:
	go build -o $@ ./tests/vm
build/report:
	go build -o $@ ./tests/report
