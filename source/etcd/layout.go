package etcd

import (
	"crypto/sha256"
	"encoding/hex"
)

// version is the version of the layout. It is part of every key, so that two versions can live side by side.
const version = "v1"

// layout names the keys under a prefix.
type layout struct{ prefix string }

// fleet is the one key that changes: what is under objects and pages only comes and goes.
func (l layout) fleet() string { return l.prefix + "/" + version + "/fleet" }

func (l layout) objects() string { return l.prefix + "/" + version + "/objects/" }

func (l layout) pages() string { return l.prefix + "/" + version + "/pages/" }

// live holds a key for every host that lives, bound to the host's lease.
func (l layout) live() string { return l.prefix + "/" + version + "/live/" }

// status holds what each host said last about itself. The key stays when the host dies.
func (l layout) status() string { return l.prefix + "/" + version + "/status/" }

// health holds the backends that fail their health checks, for each host that runs some. The key stays when the host dies: a
// daemon that starts anew goes on with it.
func (l layout) health() string { return l.prefix + "/" + version + "/health/" }

// digest is the first half of a value's SHA-256, in hexadecimal.
func digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:sha256.Size/2])
}
