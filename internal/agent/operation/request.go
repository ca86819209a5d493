package operation

import "github.com/foobar-stack/terraform-provider-foobar/internal/api"

// Request asks for a change of one component.
type Request struct {
	ID api.ID
	// Operation is the operation's id, see [api.OperationID].
	Operation string
	// Base is the generation that the change is based on, 0 to create.
	Base int64
	// Write is what is wanted. A deletion has only its timeout.
	Write api.Write
	// Actor is who asks, for people.
	Actor string
}
