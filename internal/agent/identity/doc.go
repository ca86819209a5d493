// Package identity is who a machine is: its key, made on the machine and never
// sent anywhere, its certificate, whom it obeys, and how it came by them.
//
// What must stay true:
//   - The identity is one file, replaced in one rename: a machine is enrolled
//     or it is not, whenever its agent is killed.
//   - Nothing is served to a client without a certificate of an accepted CA,
//     also before the enrolment. The only leniency is about time: a clock
//     before the agent's build time, which is known to be wrong, does not stop
//     the enrolment.
//   - The enrolment key serves once. After that only a bootstrap with a higher
//     incarnation makes the machine new again.
//   - A failed proof answers the same, whatever was wrong with it.
package identity
