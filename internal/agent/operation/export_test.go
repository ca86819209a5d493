package operation

// Known returns with how many components something goes on, or went on.
func (r *Runner) Known() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.components)
}
