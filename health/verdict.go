package health

// Verdict turns the results of single probes into healthy or not, as keepalived and HAProxy do: it takes several equal
// results in a row to change it, so one lost packet changes nothing. The zero value has no opinion: use [NewVerdict].
type Verdict struct {
	healthy    bool
	rise, fall int
	// against is how many results in a row have spoken against the verdict.
	against int
}

// NewVerdict begins with a verdict. rise is how many good results in a row it takes to become healthy, fall how many bad ones to
// become unhealthy; both are at least 1.
func NewVerdict(healthy bool, rise, fall int) *Verdict {
	return &Verdict{healthy: healthy, rise: rise, fall: fall}
}

// Healthy is the verdict.
func (v *Verdict) Healthy() bool { return v.healthy }

// Record takes the next result and reports whether the verdict has changed.
func (v *Verdict) Record(good bool) (changed bool) {
	if good == v.healthy {
		v.against = 0
		return false
	}
	v.against++
	need := v.fall
	if good {
		need = v.rise
	}
	if v.against < need {
		return false
	}
	v.healthy, v.against = good, 0
	return true
}
