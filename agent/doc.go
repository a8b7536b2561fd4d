// Package agent makes a host's kernel what the fleet says: it puts the kernel rooms together and orders their changes.
//
//	a := agent.Open(ns, "", "hv1")
//	defer a.Close()
//	plan, err := a.Plan(fleet, lock)
//	fmt.Print(plan)
//	err = errors.Join(a.Apply(plan), a.Settle(ctx, plan))
//
// Be aware:
//   - A plan is made from what the kernel held a moment ago. Whoever changes the same objects between Plan and Apply is not
//     noticed until the next plan. Steps are idempotent: a plan that failed half-way is finished by the next one.
//   - Settle waits for seconds where a load balancer has changed, and for nothing elsewhere. Who cannot wait plans and applies
//     again when [Agent.Settling] says.
//   - A plan for a host that balances loads the kernel's modules for IPVS, if it has them.
package agent
