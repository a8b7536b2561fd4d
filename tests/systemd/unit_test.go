package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnit boots systemd with the unit. The script proof.sh looks at what comes of it.
func TestUnit(t *testing.T) {
	needs(t, "/lib/systemd/systemd", "systemctl", "unshare", "nsenter", "ip", "nft")
	const inside = "/run/proof" // as boot.sh has it
	dir, group := stand(t, inside+"/culvert", inside), controlGroup(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// The shell joins the group before it leaves for namespaces of its own; when it is killed, all that is in there is.
	join := fmt.Sprintf("echo $$ >%s/cgroup.procs && exec unshare --mount --pid --fork --kill-child --cgroup --net --uts --ipc /bin/sh %s/boot.sh %s", group, dir, dir)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", join)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test is killed
	out, runErr := cmd.CombinedOutput()
	proof, err := os.ReadFile(filepath.Join(dir, "proof"))
	if err != nil {
		t.Fatalf("the unit did not get ready: %v, %v\n%s", runErr, err, out)
	}
	t.Logf("%s", proof)
	if !strings.HasSuffix(string(proof), "PROVEN\n") {
		t.Fatalf("no proof; the service manager says:\n%s", out)
	}
	for _, want := range []string{
		`StatusText=generation [0-9a-f]{12}, tenants: 1`,
		`CapEff:\s+0000000000203800`, // SYS_ADMIN (21), NET_RAW (13), NET_ADMIN (12), NET_BROADCAST (11)
		`CapBnd:\s+0000000000203800`,
		`NoNewPrivs:\s+1`,
		`Seccomp:\s+2`,
	} {
		if !regexp.MustCompile(want).Match(proof) {
			t.Errorf("the proof lacks %s", want)
		}
	}
}

// TestUnitVerify has systemd read the unit, and rate what it leaves to the daemon: 10 would be everything.
func TestUnitVerify(t *testing.T) {
	needs(t, "systemd-analyze")
	path := filepath.Join(stand(t, "", ""), "culvert.service")
	if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=46", path).CombinedOutput()
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); err != nil {
		t.Errorf("the unit leaves more to the daemon than it did: %v: %s", err, lines[len(lines)-1])
	}
}

// TestUnitKeepsMounts forbids what would hide the namespaces' names from the host (systemd.exec(5): these settings cut the mounts of
// the unit off).
func TestUnitKeepsMounts(t *testing.T) {
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	cut := regexp.MustCompile(`(?m)^(ProtectSystem|ProtectHome|ProtectKernel(Tunables|Modules|Logs)|ProtectControlGroups|ProtectProc|ProcSubset|Private(Tmp|Devices|Mounts|IPC|Network|Users)|` +
		`(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|Root(Directory|Image)|MountFlags|MountAPIVFS|LoadCredential|DynamicUser)=`)
	if found := cut.FindString(string(text)); found != "" {
		t.Errorf("%s gives the unit mounts of its own: the names of tenants' namespaces would not be seen outside, and end with it", found)
	}
}
