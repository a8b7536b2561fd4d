package topology

// BackendState is what a backend is for a load balancer.
type BackendState string

// The states, the first that holds from the end.
const (
	// Serving backends get new flows.
	Serving BackendState = "serving"
	// Draining backends get none and end theirs.
	Draining BackendState = "draining"
	// Sick backends fail their health check.
	Sick BackendState = "sick"
	// Silent backends are on a host that nothing is heard of.
	Silent BackendState = "lost"
	// Down backends are on a host that is.
	Down BackendState = "down"
)

// BackendStates are all of them.
var BackendStates = []BackendState{Serving, Draining, Sick, Silent, Down}

// State is what the backend is.
func (b Backend) State() BackendState {
	switch {
	case b.Down:
		return Down
	case b.Lost:
		return Silent
	case b.Sick:
		return Sick
	case b.Draining:
		return Draining
	default:
		return Serving
	}
}
