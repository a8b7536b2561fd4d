package page

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// built is the fleet that the lab is made of; grown and shrunk it is the daemon's.
const built = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}
  - {name: lb1, underlay: 192.0.2.11, roles: [loadbalancer]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
      - {name: vm-c, host: hv3, device: tap-c, mac: "52:54:00:00:00:0c", addresses: [10.0.0.63]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 16384}
    virtualIPs: [{addresses: [45.86.152.31], interface: vm-b}]
    loadBalancers:
      - name: web
        address: 45.86.152.30
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}, {protocol: udp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a, weight: 3}, {interface: vm-b}, {interface: vm-c, drain: true}]
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-q, host: hv1, device: tap-q, mac: "52:54:00:00:00:1a", addresses: [10.0.0.12]}
      - {name: vm-r, host: hv1, device: tap-r, mac: "52:54:00:00:00:1b", addresses: [10.0.0.13]}
      - {name: vm-s, host: hv2, device: tap-s, mac: "52:54:00:00:00:1c", addresses: [10.0.0.14]}
    natGateway: {addresses: [45.86.152.24], portsPerInterface: 1024}
`

// stand is a lab of which hv1 has a daemon that shows itself.
type stand struct {
	*testing.T
	name, dir, culvert string
	// site is where the page is.
	site string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, program := range []string{"chromium", "ip", "conntrack"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs the program %s", program)
		}
	}
	s := &stand{T: t, name: fmt.Sprintf("pg%d", os.Getpid()), dir: t.TempDir()}
	s.culvert = filepath.Join(s.dir, "culvert")
	s.run("go", "build", "-ldflags", "-X main.version=0.1.0", "-o", s.culvert, "../../cmd/culvert")
	s.allocate(built)
	t.Cleanup(func() { s.run(s.culvert, "lab", "down", "--name", s.name) })
	s.run(s.culvert, "lab", "up", "--name", s.name, "-f", s.path("fleet.yaml"))
	return s
}

func (s *stand) path(name string) string { return filepath.Join(s.dir, name) }

// run runs a program and returns what it prints.
func (s *stand) run(words ...string) string {
	s.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(s.Context()), words[0], words[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("%q: %v\n%s%s", words, err, out, &complaint)
	}
	return string(out)
}

// allocate writes the fleet that the daemon follows, and its lock after the one before.
func (s *stand) allocate(fleet string) {
	s.Helper()
	if err := os.WriteFile(s.path("fleet.yaml"), []byte(fleet), 0o600); err != nil {
		s.Fatal(err)
	}
	s.run(s.culvert, "allocate", "-f", s.path("fleet.yaml"))
}

// send sends the first packet of n flows from a VM, each from a port of its own, and nobody answers.
func (s *stand) send(vm string, n int) {
	s.Helper()
	done := make(chan error)
	go func() {
		// The thread is not given back: it is in another namespace.
		runtime.LockOSThread()
		done <- send(filepath.Join("/run/netns", s.name+"-vm-"+vm), n)
	}()
	if err := <-done; err != nil {
		s.Fatal(err)
	}
}

func send(namespace string, n int) error {
	file, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:9"))
	for port := range n {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{Port: 20_000 + port}, to)
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("!"))
		if closeErr := conn.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start runs the daemon of hv1.
func (s *stand) start() {
	s.Helper()
	// An address of the process's own: nobody else draws a port there.
	own := fmt.Sprintf("127.%d.%d.1:0", 1+os.Getpid()>>8&0x7f, os.Getpid()&0xff)
	free, err := (&net.ListenConfig{}).Listen(s.Context(), "tcp", own)
	if err != nil {
		s.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		s.Fatal(err)
	}
	s.site = "http://" + address
	var log strings.Builder
	cmd := exec.Command(s.culvert, "daemon", "-f", "fleet.yaml", "--host", "hv1", "--namespace", s.name+"-hv1", "--prefix", s.name+"-hv1-",
		"--socket", s.path("culvert.sock"), "--listen", address)
	cmd.Dir, cmd.Stderr = s.dir, &log
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		if err := cmd.Wait(); err != nil || s.Failed() {
			s.Errorf("the daemon: %v\n%s", err, &log)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for exec.CommandContext(s.Context(), s.culvert, "status", "--socket", s.path("culvert.sock")).Run() != nil {
		if time.Now().After(deadline) {
			s.Fatalf("the daemon does not get ready:\n%s", &log)
		}
	}
	for {
		conn, err := (&net.Dialer{}).DialContext(s.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("nobody listens: %v\n%s", err, &log)
		}
	}
}
