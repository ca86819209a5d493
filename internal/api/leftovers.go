package api

// Leftovers are what a component has left on its machine that no longer exists.
type Leftovers struct {
	// Directories are the app's data and its logs.
	Directories []LeftoverDirectory `json:"directories"`
	// User is the account that it had, "" if there is none.
	User string `json:"user"`
}

// LeftoverDirectory is a directory that a component has left.
type LeftoverDirectory struct {
	Path string `json:"path"`
	// Holds says what lies in it, Usage how much it takes, for a person.
	Holds string `json:"holds"`
	Usage string `json:"usage"`
}

// Empty reports whether nothing is left.
func (l Leftovers) Empty() bool { return len(l.Directories) == 0 && l.User == "" }

// AllLeftovers are what all components of a machine have left that no longer exist.
type AllLeftovers struct {
	Components []ComponentLeftovers `json:"components"`
}

// ComponentLeftovers are those of one component.
type ComponentLeftovers struct {
	ID
	Leftovers
}
