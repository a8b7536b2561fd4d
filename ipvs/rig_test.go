package ipvs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var rigs atomic.Int32

// rig is a namespace with a device that forged packets arrive on.
type rig struct {
	testing.TB
	ns *netns.NS
	// frames sends into the device; gateway is the device's address.
	frames  int
	out     unix.SockaddrLinklayer
	gateway net.HardwareAddr
}

// newRig makes the namespace: what is sent to the device out arrives on in. Addresses in 10.99.0.0/16 and fd99::/64 are its own.
func newRig(t testing.TB) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	if err := Load(); errors.Is(err, ErrNoIPVS) {
		t.Skip("needs IPVS: modules ip_vs and ip_vs_mh")
	} else if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("ipvs%d-%d", os.Getpid(), rigs.Add(1))
	r := &rig{TB: t, ns: must(netns.Create(name)), frames: -1}
	t.Cleanup(func() {
		if r.frames >= 0 {
			_ = unix.Close(r.frames)
		}
		if err := errors.Join(r.ns.Close(), netns.Remove(name)); err != nil {
			t.Error(err)
		}
	})
	for _, words := range []string{
		"link set lo up", "link add out type veth peer name in", "link set out up", "link set in up",
		"address add 100.64.0.1/10 dev in", "address add fd00:c0de::1/64 dev in nodad",
		"route add default dev in", "-6 route add default dev in",
		"route add local 10.99.0.0/16 dev lo", "-6 route add local fd99::/64 dev lo",
	} {
		r.ip(words)
	}
	r.wire()
	return r
}

// wire opens the socket that frames are sent by.
func (r *rig) wire() {
	err := r.ns.Do(func() error {
		out, err := net.InterfaceByName("out")
		if err != nil {
			return err
		}
		in, err := net.InterfaceByName("in")
		if err != nil {
			return err
		}
		for _, path := range []string{"all", "in"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+path+"/rp_filter", []byte("0"), 0); err != nil {
				return err
			}
		}
		r.gateway, r.out = in.HardwareAddr, unix.SockaddrLinklayer{Ifindex: out.Index, Halen: 6}
		r.frames, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) ip(words string) {
	r.Helper()
	cmd := exec.Command("ip", append([]string{"-n", r.ns.Name()}, strings.Fields(words)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

// flow is a client's packet for a service.
type flow struct {
	protocol        config.Protocol
	client, service netip.AddrPort
}

// TCP flags (RFC 9293 section 3.1).
const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

// send sends the flow's packet: a datagram, or a segment with the TCP flags.
func (r *rig) send(f flow, flags byte) {
	r.Helper()
	segment := make([]byte, 8, 20)
	protocol := byte(unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(segment, f.client.Port())
	binary.BigEndian.PutUint16(segment[2:], f.service.Port())
	if f.protocol == config.TCP {
		protocol, segment = unix.IPPROTO_TCP, segment[:20]
		segment[12], segment[13] = 5<<4, flags
	} else {
		binary.BigEndian.PutUint16(segment[4:], uint16(len(segment)))
	}
	frame := append(append([]byte(nil), r.gateway...), 2, 0, 0, 0, 0, 9)
	if f.client.Addr().Is4() {
		header := make([]byte, 20)
		header[0], header[8], header[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(segment)))
		copy(header[12:], f.client.Addr().AsSlice())
		copy(header[16:], f.service.Addr().AsSlice())
		binary.BigEndian.PutUint16(header[10:], checksum(header))
		frame = append(append(frame, 0x08, 0x00), header...)
	} else {
		header := make([]byte, 40)
		header[0], header[6], header[7] = 0x60, protocol, 64
		binary.BigEndian.PutUint16(header[4:], uint16(len(segment)))
		copy(header[8:], f.client.Addr().AsSlice())
		copy(header[24:], f.service.Addr().AsSlice())
		frame = append(append(frame, 0x86, 0xdd), header...)
	}
	if err := unix.Sendto(r.frames, append(frame, segment...), 0, &r.out); err != nil {
		r.Fatal(err)
	}
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// connections reads which destination each flow is bound to, and its state.
func (r *rig) connections() (map[flow]netip.AddrPort, map[flow]string) {
	r.Helper()
	bound, states := make(map[flow]netip.AddrPort), make(map[flow]string)
	for _, words := range r.table() {
		f := flow{config.Protocol(strings.ToLower(words[0])), r.endpoint(words[1:]), r.endpoint(words[3:])}
		bound[f], states[f] = r.endpoint(words[5:]), words[7]
	}
	return bound, states
}

// table reads the kernel's connection table.
func (r *rig) table() (lines [][]string) {
	r.Helper()
	var text []byte
	err := r.ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/ip_vs_conn")
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) >= 8 && words[0] != "Pro" {
			lines = append(lines, words)
		}
	}
	return lines
}

// endpoint reads an address, in hexadecimal or with colons, and a hexadecimal port.
func (r *rig) endpoint(words []string) netip.AddrPort {
	r.Helper()
	address, err := netip.ParseAddr(words[0])
	if !strings.Contains(words[0], ":") {
		var b []byte
		b, err = hex.DecodeString(words[0])
		address, _ = netip.AddrFromSlice(b)
	}
	port, wrong := strconv.ParseUint(words[1], 16, 16)
	if err = errors.Join(err, wrong); err != nil {
		r.Fatal(err)
	}
	return netip.AddrPortFrom(address, uint16(port))
}

func (r *rig) observe() State {
	r.Helper()
	s, err := Observe(r.ns)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// apply brings the namespace to the state and checks that nothing is left to do; it returns the plan.
func (r *rig) apply(desired State) Plan {
	r.Helper()
	p := Diff(r.observe(), desired)
	if err := errors.Join(Apply(r.ns, p), Settle(r.ns, p)); err != nil {
		r.Fatalf("apply:\n%s%v", p, err)
	}
	if again := Diff(r.observe(), desired); !again.Empty() {
		r.Fatalf("a second plan is not empty:\n%safter:\n%s", again, p)
	}
	return p
}

// patience is for an emulated machine that shares its processors.
const patience = time.Minute

// eventually repeats look until nothing is wrong.
func (r *rig) eventually(look func() (wrong []string)) {
	r.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		wrong := look()
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.Fatal(strings.Join(wrong, "\n"))
		}
	}
}

// compare checks text against a golden file.
func compare(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-golden +got):\n%s", name, diff)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
