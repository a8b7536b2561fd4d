package systemd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const unit = "../../packaging/culvert.service"

const fleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`

const more = `  - name: blue
    vni: 200
    interfaces:
      - {name: vm-z, host: hv1, device: tap-z, mac: "52:54:00:00:00:0c", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.24], portsPerHost: 1024}
`

// stand is a folder with the program, the unit and two fleets. The unit's paths are those of the program, and of the folder as it is
// called there; nothing else differs from what is packaged.
func stand(t *testing.T, program, folder string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run := func(words ...string) {
		t.Helper()
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", words, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	culvert := filepath.Join(dir, "culvert")
	run("go", "build", "-o", culvert, "../../cmd/culvert")
	for name, text := range map[string]string{"fleet.yaml": fleet, "next.yaml": fleet + more} {
		write(name, text)
		run(culvert, "allocate", "-f", filepath.Join(dir, name))
	}
	for _, name := range []string{"boot.sh", "proof.sh"} {
		write(name, read(filepath.Join("testdata", name)))
	}
	write("cache", read("../../source/etcd/testdata/cache")) // of the first fleet
	write("ca.pem", authority(t))
	if program == "" {
		program, folder = culvert, dir
	}
	write("default", "CULVERT_LISTEN=127.0.0.1:9469\n")
	write("culvert.service", strings.NewReplacer("/usr/bin/culvert", program, "/etc/culvert/", folder+"/", "/etc/default/culvert", folder+"/default").Replace(read(unit)))
	return dir
}

// authority is a certificate of nobody, as a daemon reads one before it asks etcd.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// controlGroup makes a control group of version 2 and returns its folder.
func controlGroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(root, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir := filepath.Join(root, fmt.Sprintf("culvert-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("needs a control group of its own: %v", err)
		}
		t.Cleanup(func() { removeGroup(t, dir) })
		return dir
	}
	t.Skip("needs a control-group file system of version 2")
	return ""
}

// removeGroup removes the group and those in it; what ran there has just been killed.
func removeGroup(t *testing.T, dir string) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.After(20 * time.Second); ; {
		var folders []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		var err error
		for i := len(folders) - 1; i >= 0; i-- {
			err = os.Remove(folders[i])
		}
		if err == nil {
			return
		}
		select {
		case <-late:
			t.Errorf("remove the control group: %v", err)
			return
		case <-again.C:
		}
	}
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs the program %s", p)
		}
	}
}
