package api

import (
	"context"
	"net/http"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// A row is one endpoint. What its path names is resolved before do runs: {env},
// {directory}, {domain}, {agent}, {account}, {apikey}, {trust}, {request}, {template},
// {provider}, {client}, {evaluation} and {subject}.
type row struct {
	pattern string
	role    string // the least that reaches it
	class   class
	body    int64      // longest body; 0: none is read
	kind    audit.Kind // the record that it leaves; "": it only reads
	status  int        // on success
	do      action
	bearer  bool // not by Basic: a GET that changes something (T24)
}

// An action is what a row does.
type action struct {
	decode func([]byte) (any, error) // nil: the body is not read
	// before prepares what a transaction must not wait for.
	before func(context.Context, *call) error
	// run works in the transaction of the row, which may run it several times.
	run func(context.Context, *call, *store.Tx) (any, error)
	// after works when the transaction has happened, and may replace its reply.
	after func(context.Context, *call, any) (any, error)
}

// first returns the action with something to prepare.
func (a action) first(before func(context.Context, *call) error) action {
	a.before = before
	return a
}

// then returns the action with something to do afterwards.
func (a action) then(after func(context.Context, *call, any) (any, error)) action {
	a.after = after
	return a
}

// plain is an action that has no body.
func plain(run func(context.Context, *call, *store.Tx) (any, error)) action {
	return action{run: run}
}

// with is an action whose body is a T.
func with[T any](run func(context.Context, *call, *store.Tx, *T) (any, error)) action {
	return action{
		decode: func(b []byte) (any, error) { return decode[T](b) },
		run:    func(ctx context.Context, c *call, tx *store.Tx) (any, error) { return run(ctx, c, tx, c.body.(*T)) },
	}
}

// Bounds of bodies, in bytes.
const (
	none        = 0
	small       = 16 << 10  // names, lists of ids
	outsideSize = 256 << 10 // settings of outside services, with their keys
	policySize  = 4 << 20   // five policies with all their groups, see hub/policy
)

// Statuses of success.
const (
	ok        = http.StatusOK
	created   = http.StatusCreated
	noContent = http.StatusNoContent
	refused   = http.StatusBadRequest // of rows that only say why there is nothing
)

// routes lists every endpoint. Paths and statuses are those of the public reference;
// rows marked "ours" are not in it.
func routes() []row {
	return []row{
		{"GET /api/envs", RoleLimited, reading, none, "", ok, plain(listEnvs), false},
		{"POST /api/envs", RoleOwner, writing, small, audit.EnvCreated, created, with(createEnv), false},
		{"GET /api/envs/{env}", RoleLimited, reading, none, "", ok, plain(getEnv), false},
		{"PATCH /api/envs/{env}", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(updateEnv), false},
		{"DELETE /api/envs/{env}", RoleOwner, writing, none, audit.EnvDeleted, noContent, plain(deleteEnv).then(refreshDomains), false},
		{"POST /api/envs/{env}/refresh-webhook-secret", RoleAdmin, writing, small, audit.EnvWebhookSecretUpdated, ok, with(refreshWebhookSecret), false},

		{"GET /api/envs/{env}/domains", RoleLimited, reading, none, "", ok, plain(listDomains), false},                                                      // ours
		{"POST /api/envs/{env}/domains", RoleAdmin, writing, small, audit.EnvUpdated, created, with(addDomain).then(checkDomain), false},                    // ours
		{"GET /api/envs/{env}/domains/{domain}", RoleLimited, reading, none, "", ok, plain(getDomain), false},                                               // ours
		{"DELETE /api/envs/{env}/domains/{domain}", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(removeDomain).then(refreshDomains), false}, // ours
		{"POST /api/envs/{env}/domains/{domain}/check", RoleUser, writing, none, "", ok, plain(getDomain).then(checkDomain), false},                         // ours

		{"GET /api/envs/{env}/trust", RoleLimited, reading, none, "", ok, plain(listTrust), false},                                                              // ours
		{"POST /api/envs/{env}/trust", RoleAdmin, writing, trustSize, audit.EnvUpdated, created, with(addTrust), false},                                         // ours
		{"GET /api/envs/{env}/trust/{trust}", RoleLimited, reading, none, "", ok, plain(getTrust), false},                                                       // ours
		{"DELETE /api/envs/{env}/trust/{trust}", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(removeTrust), false},                              // ours
		{"POST /api/envs/{env}/domains/{domain}/wallet-certificate", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(setWalletCertificate), false}, // ours

		{"GET /api/envs/{env}/documents", RoleLimited, reading, none, "", ok, plain(getDocuments), false},                                    // ours
		{"POST /api/envs/{env}/documents", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(setDocuments), false},                // ours
		{"GET /api/envs/{env}/credential-status", RoleLimited, reading, none, "", ok, plain(getCredentialStatus), false},                     // ours
		{"POST /api/envs/{env}/credential-status", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(setCredentialStatus), false}, // ours

		{"GET /api/envs/{env}/sms", RoleAdmin, reading, none, "", ok, plain(getSMS), false},                                      // ours
		{"POST /api/envs/{env}/sms", RoleAdmin, writing, outsideSize, audit.EnvUpdated, noContent, with(setSMS), false},          // ours
		{"DELETE /api/envs/{env}/sms", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(removeSMS), false},           // ours
		{"GET /api/envs/{env}/review", RoleLimited, reading, none, "", ok, plain(getReview), false},                              // ours
		{"POST /api/envs/{env}/review", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(setReview), false},          // ours
		{"POST /api/envs/{env}/common-names", RoleAdmin, writing, commonSize, audit.EnvUpdated, ok, with(setCommonNames), false}, // ours

		{"GET /api/envs/{env}/identity-providers", RoleLimited, reading, none, "", ok, plain(listProviders), false},                                         // ours
		{"POST /api/envs/{env}/identity-providers", RoleAdmin, writing, outsideSize, audit.EnvUpdated, created, with(addProvider), false},                   // ours
		{"GET /api/envs/{env}/identity-providers/{provider}", RoleLimited, reading, none, "", ok, plain(getProvider), false},                                // ours
		{"PATCH /api/envs/{env}/identity-providers/{provider}", RoleAdmin, writing, outsideSize, audit.EnvUpdated, noContent, with(replaceProvider), false}, // ours
		{"DELETE /api/envs/{env}/identity-providers/{provider}", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(removeProvider), false},       // ours

		{"GET /api/envs/{env}/oidc-clients", RoleLimited, reading, none, "", ok, plain(listClients), false},                                                    // ours
		{"POST /api/envs/{env}/oidc-clients", RoleAdmin, writing, small, audit.EnvUpdated, created, with(addClient).first(makeKey), false},                     // ours
		{"GET /api/envs/{env}/oidc-clients/{client}", RoleLimited, reading, none, "", ok, plain(getClient), false},                                             // ours
		{"PATCH /api/envs/{env}/oidc-clients/{client}", RoleAdmin, writing, small, audit.EnvUpdated, noContent, with(replaceClient), false},                    // ours
		{"DELETE /api/envs/{env}/oidc-clients/{client}", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(removeClient), false},                    // ours
		{"POST /api/envs/{env}/oidc-clients/{client}/secrets", RoleAdmin, writing, none, audit.EnvUpdated, created, plain(addClientSecret), false},             // ours
		{"DELETE /api/envs/{env}/oidc-clients/{client}/secrets", RoleAdmin, writing, none, audit.EnvUpdated, noContent, plain(endClientSecrets), false},        // ours
		{"POST /api/envs/{env}/oidc-clients/{client}/keys", RoleAdmin, writing, none, audit.EnvUpdated, created, plain(rotateClientKey).first(makeKey), false}, // ours

		{"GET /api/directories", RoleLimited, reading, none, "", ok, plain(listDirectories), false},
		{"POST /api/directories", RoleAdmin, writing, small, audit.DirectoryCreated, ok, with(createDirectory), false},
		{"GET /api/directories/{directory}", RoleLimited, reading, none, "", ok, plain(getDirectory), false},
		{"PATCH /api/directories/{directory}", RoleAdmin, writing, policySize, audit.DirectoryUpdated, noContent, with(updateDirectory), false},
		{"DELETE /api/directories/{directory}", RoleAdmin, writing, none, audit.DirectoryDeleted, noContent, plain(deleteDirectory), false},
		{"POST /api/directories/{directory}/sync", RoleUser, writing, none, "", noContent, plain(nothing).then(syncDirectory), false},
		{"POST /api/directories/{directory}/sync/confirm", RoleAdmin, writing, none, audit.AgentSyncConfirmed, noContent, plain(confirmSync).then(syncDirectory), false}, // ours
		{"GET /api/directories/{directory}/regenerate-directory-agent-token", RoleAdmin, writing, none, audit.AgentTokenCreated, ok, plain(regenerateToken), true},

		{"GET /api/directories/{directory}/agents", RoleLimited, reading, none, "", ok, plain(listAgents).then(connectedAgents), false},                     // ours
		{"POST /api/directories/{directory}/agent-tickets", RoleAdmin, writing, small, audit.AgentTicketCreated, created, with(createTicket), false},        // ours
		{"POST /api/directories/{directory}/agents/{agent}/confirm", RoleAdmin, writing, small, audit.AgentConfirmed, noContent, with(confirmAgent), false}, // ours
		{"POST /api/directories/{directory}/agents/{agent}/release", RoleAdmin, writing, none, audit.AgentResolved, noContent, plain(releaseAgent), false},  // ours
		{"DELETE /api/directories/{directory}/agents/{agent}", RoleAdmin, writing, none, audit.AgentRevoked, noContent, plain(revokeAgent), false},          // ours

		{"GET /api/directories/{directory}/evaluations", RoleLimitedPlus, reading, none, "", ok, plain(listEvaluations), false},                                                 // ours
		{"POST /api/directories/{directory}/evaluations", RoleAdmin, writing, policySize, audit.EvaluationStarted, created, with(startEvaluation).then(wakeEvaluations), false}, // ours
		{"GET /api/directories/{directory}/evaluations/{evaluation}", RoleLimitedPlus, reading, none, "", ok, plain(getEvaluation), false},                                      // ours
		{"GET /api/directories/{directory}/evaluations/{evaluation}/accounts", RoleLimitedPlus, reading, none, "", ok, plain(evaluatedAccounts), false},                         // ours
		{"POST /api/directories/{directory}/evaluations/{evaluation}/cancel", RoleAdmin, writing, none, audit.EvaluationEnded, noContent, plain(cancelEvaluation), false},       // ours
		{"DELETE /api/directories/{directory}/evaluations/{evaluation}", RoleAdmin, writing, none, audit.EvaluationEnded, noContent, plain(removeEvaluation), false},            // ours

		{"GET /api/accounts", RoleLimitedPlus, reading, none, "", ok, plain(listAccounts), false},
		{"GET /api/accounts/{account}", RoleLimitedPlus, reading, none, "", ok, plain(getAccount), false},
		{"PUT /api/accounts/{account}/photo", RoleAdmin, writing, capture.MaxImage, audit.AccountPhotoUploaded, noContent, photoBody(setPhoto), false},
		{"DELETE /api/accounts/{account}/photo", RoleAdmin, writing, none, audit.AccountUpdated, noContent, plain(removePhoto), false},
		{"GET /api/accounts/{account}/recovery", RoleLimitedPlus, reading, none, "", ok, plain(getShutOut), false},                             // ours
		{"DELETE /api/accounts/{account}/recovery/stop", RoleAdmin, writing, none, audit.RecoveryReopened, noContent, plain(reopen), false},    // ours
		{"DELETE /api/accounts/{account}/recovery/block", RoleAdmin, writing, none, audit.RecoveryUnblocked, noContent, plain(unblock), false}, // ours

		{"POST /api/envs/{env}/recovery_microsite/presign", RoleUser, presigns, small, audit.RecoveryLinkCreated, ok, with(presign).first(signingKey), false},
		{"POST /api/env/{env}/recovery/presign", RoleUser, presigns, none, audit.RecoveryLinkCreated, ok, plain(presignQuery).first(signingKey), false},

		{"GET /api/envs/{env}/requests", RoleUser, reading, none, "", ok, plain(listRequests), false},
		{"GET /api/envs/{env}/requests/{request}", RoleUser, reading, none, "", ok, plain(getRequest), false},
		{"POST /api/requests", RoleUser, writing, small, audit.RequestCreated, created, with(createRequest).then(sendLinks), false},
		{"GET /api/requests/{request}", RoleUser, reading, none, "", ok, plain(getRequest), false},
		{"PATCH /api/requests/{request}", RoleUser, writing, small, audit.RequestUpdated, noContent, with(updateRequest), false},
		{"DELETE /api/requests/{request}", RoleUser, writing, none, audit.RequestCanceled, noContent, plain(cancelRequest), false},
		{"POST /api/envs/{env}/templates", RoleAdmin, writing, small, audit.TemplateCreated, ok, with(createTemplate), false},
		{"PATCH /api/envs/{env}/templates/{template}", RoleAdmin, writing, small, audit.TemplateUpdated, noContent, with(updateTemplate), false},
		{"DELETE /api/envs/{env}/templates/{template}", RoleAdmin, writing, none, audit.TemplateDeleted, noContent, plain(removeTemplate), false},

		{"GET /people/{subject}/properties/{scopes}", RoleUser, reading, none, "", ok, plain(getProperties), false},
		{"DELETE /people/{subject}/properties/{scopes}", RoleUser, writing, none, audit.SharingRevoked, noContent, plain(revokeProperties), false},
		{"POST /people/{subject}/compare", RoleUser, writing, small, audit.PeopleCompare, ok, with(comparePerson), false},
		{"POST /people/{subject}/compare/selfie", RoleUser, reading, none, "", refused, plain(compareFace), false},
		{"POST /people/bulk", RoleUser, reading, bulkSize, "", ok, with(bulkProperties), false},
		{"DELETE /people/{subject}", RoleAdmin, writing, none, audit.VaultDeleted, noContent, plain(erasePerson), false}, // ours

		{"GET /api/org", RoleLimited, reading, none, "", ok, plain(getOrg), false},
		{"PATCH /api/org", RoleOwner, writing, small, audit.OrgUpdated, noContent, with(updateOrg), false},
		{"GET /api/org/members", RoleAdmin, reading, none, "", ok, plain(listMembers), false},
		{"POST /api/org/members", RoleAdmin, writing, small, audit.OrgMemberInvited, noContent, with(inviteMember), false},
		{"PATCH /api/org/members/{member}", RoleAdmin, writing, small, audit.OrgMemberUpdated, noContent, with(updateMember), false},
		{"DELETE /api/org/members/{member}", RoleAdmin, writing, none, audit.OrgMemberRemoved, noContent, plain(removeMember), false},
		{"GET /api/apikeys", RoleAdmin, reading, none, "", ok, plain(listAPIKeys), false},
		{"POST /api/apikeys", RoleAdmin, writing, small, audit.APIKeyCreated, created, with(createAPIKey), false},
		{"GET /api/apikeys/{apikey}", RoleAdmin, reading, none, "", ok, plain(getAPIKey), false},
		{"PATCH /api/apikeys/{apikey}", RoleAdmin, writing, small, audit.APIKeyUpdated, noContent, with(updateAPIKey), false},
		{"DELETE /api/apikeys/{apikey}", RoleAdmin, writing, none, audit.APIKeyDeleted, noContent, plain(deleteAPIKey), false},
	}
}

// Patterns lists the endpoints, as http.ServeMux writes them.
func Patterns() (list []string) {
	for _, r := range routes() {
		list = append(list, r.pattern)
	}
	return list
}
