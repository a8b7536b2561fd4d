package page

import (
	"flag"
	"fmt"
	"image/png"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "take the pictures of docs/images anew")

// TestPage fills ports of a host's tenants and looks at the pages in a browser.
func TestPage(t *testing.T) {
	s := newStand(t)
	s.send("acme-vm-a", 9000)
	s.send("blue-vm-q", 1100) // of 1024
	s.send("blue-vm-r", 400)
	// hv1's blocks of acme have become smaller meanwhile, and a VM is to come whose device is not there yet.
	s.allocate(strings.ReplaceAll(built, "portsPerHost: 16384", "portsPerHost: 10240"))
	s.allocate(strings.ReplaceAll(strings.ReplaceAll(built, "portsPerHost: 16384", "portsPerHost: 10240"), "    natGateway: {addresses: [45.86.152.24]",
		"      - {name: vm-t, host: hv1, device: tap-t, mac: \"52:54:00:00:00:1d\", addresses: [10.0.0.15]}\n    natGateway: {addresses: [45.86.152.24]"))
	s.start()

	b := newBrowser(t)
	if text := b.load(`data:text/html,<p id="p">plain</p><script>document.getElementById("p").textContent="ran"</script>`); !strings.Contains(text, ">plain<") {
		t.Fatalf("scripts run in this browser: %s", text)
	}
	index, acme, blue := b.parse(b.load(s.site+"/")), b.parse(b.load(s.site+"/tenant/acme")), b.parse(b.load(s.site+"/tenant/blue"))

	host := s.ports("acme", 1024, 11263)
	retired := s.ports("acme", 11264, 17407)
	q, r := s.ports("blue", 1024, 2047), s.ports("blue", 2048, 3071)
	if host == 0 || retired == 0 || q < 1000 || r == 0 {
		t.Fatalf("ports in use: %d, retired %d, %d, %d: the test shows nothing", host, retired, q, r)
	}
	for _, tt := range []struct {
		doc  document
		want []string
	}{
		{index, []string{"acme", "converged", "hypervisor", "100", "1", fmt.Sprintf("%d%% %d of 10240 ports, host hv1", host*100/10240, host), "", "0", "0"}},
		{index, []string{"blue", "waiting", "hypervisor", "200", "3", fmt.Sprintf("%d%% %d of 1024 ports, interface vm-q", q*100/1024, q), "", "", "0"}},
		{index, []string{"hv1 this host", "1", "192.0.2.1", "hypervisor", "2", "up"}},
		{index, []string{"edge1", "5", "192.0.2.254", "edge", "2", "up"}},
		{acme, []string{"host hv1", "1024–11263", "10240", fmt.Sprintf("%d%%", host*100/10240), "0", fmt.Sprint(host), "0", fmt.Sprint(host + retired), fmt.Sprintf("6144 %d used", retired)}},
		{acme, []string{"host hv2", "17408–27647", "10240", "known to its own host", "6144"}},
		{acme, []string{"vm-a 10.0.0.12", "hv1", "serving", "3", "75%"}},
		{acme, []string{"vm-c 10.0.0.63", "hv3", "draining", "1", "none"}},
		{acme, []string{"45.86.152.31", "10.0.0.47", "hv2"}},
		{blue, []string{"interface vm-q", "1024–2047", "1024", fmt.Sprintf("%d%%", q*100/1024), "0", fmt.Sprint(q), "0", fmt.Sprint(q), "0"}},
		{blue, []string{"interface vm-r", "2048–3071", "1024", fmt.Sprintf("%d%%", r*100/1024), "0", fmt.Sprint(r), "0", fmt.Sprint(r), "0"}},
	} {
		got := tt.doc.row(tt.want[0])
		same := slices.EqualFunc(got, tt.want, func(got, want string) bool { return want == "" || got == want })
		if !same {
			t.Errorf("the row is %q, want %q", got, tt.want)
		}
	}
	for _, want := range []string{"converged, waiting for devices", "waits for tap-t"} {
		if !strings.Contains(index.text, want) {
			t.Errorf("the first page lacks %q", want)
		}
	}
	accessible(t, index, 0)
	accessible(t, acme, 1)
	accessible(t, blue, 1)
	s.pictures(b)
}

// accessible holds a page to what those need who do not see it.
func accessible(t *testing.T, d document, pictures int) {
	t.Helper()
	if d.counts["h1"] != 1 || d.counts["main"] != 1 || d.counts["script"] != 0 || d.counts["img"] != 0 {
		t.Errorf("elements %v", d.counts)
	}
	if d.pictures != pictures || d.titled != pictures {
		t.Errorf("%d pictures, %d of them described, want %d", d.pictures, d.titled, pictures)
	}
	if d.counts["table"] != d.counts["thead"] {
		t.Errorf("%d tables, %d with a head", d.counts["table"], d.counts["thead"])
	}
}

// entry finds the public port of a translated flow in what conntrack(8) prints.
var entry = regexp.MustCompile(`(?m)^udp .* dst=45\.86\.152\.\d+ sport=9 dport=(\d+)`)

// ports counts the different public ports in a range that conntrack lists in a tenant's namespace.
func (s *stand) ports(tenant string, first, last int) int {
	s.Helper()
	seen := make(map[int]bool)
	for _, m := range entry.FindAllStringSubmatch(s.run("ip", "netns", "exec", s.name+"-hv1-culvert-"+tenant, "conntrack", "-L"), -1) {
		var port int
		if _, err := fmt.Sscan(m[1], &port); err != nil {
			s.Fatal(err)
		}
		if first <= port && port <= last {
			seen[port] = true
		}
	}
	return len(seen)
}

// pictures takes the pictures of the documentation, and looks whether dark is dark.
func (s *stand) pictures(b *browser) {
	s.Helper()
	for _, p := range []struct {
		path, name, height string
		dark               bool
	}{
		{"/", "status.png", "920", false},
		{"/tenant/acme", "tenant.png", "1340", false},
		{"/tenant/blue", "dark.png", "900", true},
	} {
		if p.name == "status.png" && !*update {
			continue // one picture shows what light is
		}
		path := s.path(p.name)
		var more []string
		if p.dark {
			more = append(more, "--force-dark-mode")
		}
		b.shoot(s.site+p.path, path, p.height, more...)
		if got := dark(s.T, path); got != p.dark {
			s.Errorf("%s: dark %v, want %v", p.path, got, p.dark)
		}
		if *update && !p.dark {
			picture, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile("../../docs/images/"+p.name, picture, 0o644)
			}
			if err != nil {
				s.Fatal(err)
			}
		}
	}
}

// dark reports whether a picture's corner is.
func dark(t *testing.T, path string) bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := picture.At(4, 4).RGBA()
	return r+g+b < 3*0x8000
}
