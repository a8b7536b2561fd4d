// Package agent makes a host's kernel what the fleet says: it puts the kernel rooms together and orders their changes.
//
//	a := agent.Open(ns, "", "hv1")
//	defer a.Close()
//	plan, err := a.Plan(fleet, lock)
//	fmt.Print(plan)
//	err = a.Apply(plan)
//
// Be aware: a plan is made from what the kernel held a moment ago. Whoever changes the same objects between Plan and Apply
// is not noticed until the next plan. Steps are idempotent: a plan that failed half-way is finished by the next one.
package agent
