package store_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// owned are ids of one environment.
type owned struct {
	org, env, directory, account, apiKey, agent, domain, webhook, delivery, recovery, verification, factor, savedCode, usedCode, review, trust, wallet, staff, staffKey, approval, manual, provider, request, use, template, client, key, exchange, evaluation, secret, event, storage, destination string
}

// withoutEnvironment lists the queries that take no environment, and why that is right.
var withoutEnvironment = map[string]string{
	"NextAccount":  "a number of the whole installation",
	"PutPrepared":  "the batch names it: TestT25_PreparedAccountsGoToNobodyElsesDirectory",
	"ImagesToMove": "for the mover", "PlanMove": "its row names the environment", "ImageMoved": "its row names the environment",
	"DueRemovals": "for the mover", "Removed": "for the mover", "PurgeStorages": "upkeep",

	"Now": "no query", "Seal": "no query", "Unseal": "no query", "Exec": "no query", "Swap": "no query", "Must": "no query", "Row": "no query",

	"Setting": "of the installation", "SetSetting": "of the installation",
	"CreateOrganisation": "of the installation", "Organisation": "of the installation", "UpdateOrganisation": "the id is the organisation", "Organisations": "of the installation",
	"AllDomains": "for a node's memory", "AllDirectories": "for the scheduler", "AgentStates": "for a node's memory",
	"AddRecovery": "its row names the environment", "AddVerification": "its row names the environment", "AddObjection": "its row names the environment",
	"DueRecoveries": "for the dispatcher", "DueTooLate": "for the dispatcher", "HastenDue": "for the dispatcher", "PurgeRecoveries": "upkeep", "PurgeCodeSends": "upkeep", "PurgeOperationUses": "upkeep",
	"PurgeLinks": "upkeep", "PurgeObjections": "upkeep", "PurgeProofCounters": "upkeep",
	"PurgeTickets": "upkeep", "PurgeConsole": "upkeep", "PurgeAccounts": "upkeep", "PurgeLentPhotos": "upkeep",

	"LogoBySum":         "public: finds it by its content",
	"CreateEnvironment": "makes one", "CreateDirectory": "its row names the environment",
	"Domain": "finds it by the host", "APIKeyByHash": "finds it by a secret", "LegacyDirectory": "finds it by a secret", "AgentByKey": "finds it by a key",
	"RedeemTicket": "finds it by a secret", "EnrolAgent": "finds it by a secret",
	"DirectoryByID": "finds it; the caller checks", "AccountByID": "finds it; the caller checks",
	"CreateConsoleLink": "of an organisation", "RedeemConsoleLink": "finds it by a secret", "ConsoleSession": "finds it by a secret", "EndConsoleSession": "by a secret", "ConsoleSessionSeen": "by a secret",
	"AppendAudit": "its row names the environment",
	"AddWebhook":  "its row names the environment", "AddDelivery": "its row names the environment", "AddDelivered": "its row names the environment", "DueWebhooks": "for the outbox", "Followers": "for the outbox", "LinkedPicture": "finds it by a secret", "PurgePictureLinks": "upkeep", "PurgeDrafts": "upkeep", "Followed": "for the outbox", "DueDeliveries": "for the outbox", "ClaimDeliveries": "for the outbox", "FinishTry": "for the outbox",
	"AuditHead": "of the installation", "PendingAudit": "for the log", "LastPendingAudit": "for the log", "AuditIsPending": "for the log", "ExtendAudit": "for the log", "AuditTiles": "hashes of the installation",
	"AuditEntry": "finds it; the caller checks", "AuditEntries": "for the log; the caller checks", "DropAudit": "upkeep",
	"AddMail": "its row names the environment", "ClaimMails": "for the outbox", "MailSent": "for the outbox", "MailFailed": "for the outbox",
	"MailFlows": "of a node, for the outbox", "AnyMailStuck": "for the outbox",
	"PurgeDeliveries": "upkeep",
	"CreateAPIKey":    "its row names the organisation",
	"AddStaff":        "its row names the organisation", "AddStaffKey": "its row names the organisation", "AddStaffLink": "its row names the organisation",
	"OpenStaffSession": "its row names the organisation", "StaffKeyByCredential": "finds it by a key", "StaffLink": "finds it by a secret",
	"UseStaffLink": "finds it by a secret", "UseChallenge": "by a secret",
	"AddApproval": "its row names the environment", "AddManual": "its row names the environment", "PurgeManuals": "upkeep", "DueApprovals": "upkeep", "PurgeApprovals": "upkeep",
	"AddEvaluation": "its row names the environment", "SaveEvaluation": "its row names the environment", "DueEvaluations": "for the dispatcher", "PurgeEvaluations": "upkeep",
	"AddReview": "its row names the environment", "DueReviews": "upkeep",
	"AddRequest": "its row names the environment", "RequestByID": "finds it; the caller checks", "DueRequests": "upkeep", "EndedShares": "upkeep", "AddRequestSend": "its row names the environment", "ClaimRequestSends": "for the dispatcher",
	"AddRequestUse": "its row names the environment", "PurgeRequestUses": "upkeep", "AddTemplate": "its row names the environment",
	"ClaimKeyRemovals": "for the dispatcher",
	"AddAct":           "its row names the environment", "AddActOrder": "its row names the environment", "DueActs": "for the dispatcher", "LapsedActOrders": "for the dispatcher",
	"AddFactor": "its row names the environment", "PurgeFactors": "upkeep",
	"AddTrustSource": "its row names the environment", "SetWalletSigner": "its row names the environment", "OpenWalletExchange": "its row names the environment",
	"PurgeWalletExchanges": "upkeep", "AddIdentityProvider": "its row names the environment",
	"AddOIDCClient": "its row names the environment", "OIDCClientByID": "finds it by its public name", "AllOIDCClients": "upkeep",
	"AddOIDCKey": "its row names the environment", "PublishedOIDCKeys": "public, of all", "OutsideOIDCKeys": "upkeep",
	"Final": "says it of the step itself", "AddOIDCExchange": "its row names the environment", "OIDCExchangeOf": "finds it by a secret", "OIDCPartyByID": "finds it by its public name", "OIDCExchangeByAccess": "finds it by a secret",
	"PurgeOIDC": "upkeep", "AddDestination": "its row names the organisation", "DueDestinations": "for the dispatcher", "ClaimDestination": "for the dispatcher", "DestinationSent": "for the dispatcher", "DestinationFailed": "for the dispatcher", "AddTerminal": "its row names the organisation", "Terminal": "finds it by a key",
}

// foreign calls every query that takes an environment (or organisation) with one, and
// with ids of another. found says how much it gave or changed.
var foreign = map[string]func(ctx context.Context, tx *store.Tx, env, org string, o owned) (found int, err error){
	"Environment":    func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) { return 0, nil }, // the id is the environment
	"OrganisationOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) { return 0, nil }, // likewise
	"Documents": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		kinds, err := tx.Documents(ctx, env)
		return len(kinds), err
	},
	"SetDocuments": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetDocuments(ctx, env, []string{"pid"})
	},
	"CredentialStatus": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		s, err := tx.CredentialStatus(ctx, env)
		return len(s.Hosts), err
	},
	"SetCredentialStatus": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetCredentialStatus(ctx, env, store.CredentialStatus{Mode: "require", Hosts: []string{"x.test"}})
	},
	"UpdateEnvironment": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) { return 0, nil },
	"DeleteEnvironment": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) { return 0, nil },
	"SetLogo":           func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) { return 0, nil },
	"RemoveLogo": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveLogo(ctx, env, "mobile")
	},
	"ActiveStorage": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		s, err := tx.ActiveStorage(ctx, env)
		return len(s.ID), err
	},
	"StorageOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		s, err := tx.StorageOf(ctx, env, o.storage)
		return len(s.ID), err
	},
	"SetStorage": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetStorage(ctx, env, nil)
	},
	"StorageResult": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.StorageResult(ctx, env, o.storage, "mine")
	},
	"StorageWaiting": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		moves, removals, err := tx.StorageWaiting(ctx, env)
		return moves + removals, err
	},
	"OpenReviewImage": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.OpenReviewImage(ctx, env, o.review, "front", "object", []byte("mine"))
		return 1, err
	},
	"OpenSecret": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.OpenSecret(ctx, env, o.secret)
		if errors.Is(err, store.ErrSecret) {
			err = store.ErrNotFound
		}
		return 1, err
	},
	"Logos": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Logos(ctx, env)
		return len(all), err
	},
	"SetDirectoryLogo": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetDirectoryLogo(ctx, env, o.directory, store.NewLogo("", "image/png", []byte("mine")))
	},
	"RemoveDirectoryLogo": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveDirectoryLogo(ctx, env, o.directory)
	},
	"Environments": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (n int, err error) {
		all, err := tx.Environments(ctx, org)
		for _, e := range all {
			if e.ID == o.env {
				n++
			}
		}
		return n, err
	},

	"AuditRows": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.AuditRows(ctx, org, store.AuditFilter{Envs: []string{o.env}, Count: 10})
		return len(all), err
	},
	"AuditRow": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.AuditRow(ctx, org, o.event)
		return 1, err
	},
	"PersonKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.PersonKey(ctx, env, o.account)
		return 1, err
	},
	"NeedPersonKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.NeedPersonKey(ctx, env, o.account) // makes one of its own, which the others must not find
		return 0, errors.Join(err, store.ErrConflict)
	},
	"ErasePersonKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ErasePersonKey(ctx, env, o.account)
	},

	"Webhooks": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Webhooks(ctx, env)
		return len(all), err
	},
	"Webhook": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Webhook(ctx, env, o.webhook)
		return 1, err
	},
	"UpdateWebhook": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UpdateWebhook(ctx, store.Webhook{Env: env, ID: o.webhook, URL: "mine"})
	},
	"RemoveWebhook": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveWebhook(ctx, env, o.webhook)
	},
	"Deliveries": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Deliveries(ctx, env, store.DeliveryFilter{}, 0, 10)
		return len(all), err
	},
	"Delivery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Delivery(ctx, env, o.delivery)
		return 1, err
	},
	"ReplayDelivery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ReplayDelivery(ctx, env, o.delivery)
	},
	"AuditSince": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.AuditSince(ctx, env, 0, 1000)
		return len(all), err
	},
	"AddPictureLink": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AddPictureLink(ctx, env, theirPerson(o), []byte("mine"), tx.Now().Add(time.Hour))
		return 1, err
	},
	"WaitingMails": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.WaitingMails(ctx, env)
	},
	"RenewWebhookSecret": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.RenewWebhookSecret(ctx, env, time.Hour) // makes one of its own
		return 0, err
	},
	"EndFormerWebhookSecret": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.EndFormerWebhookSecret(ctx, env)
	},
	"WebhookSecrets": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		secrets, err := tx.WebhookSecrets(ctx, env)
		if secrets.Present != "" {
			return 1, err
		}
		return 0, err
	},
	"EnvironmentNames": func(context.Context, *store.Tx, string, string, owned) (int, error) { return 0, nil }, // the id is the environment

	"Staff": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.Staff(ctx, org, o.staff)
		return 1, err
	},
	"StaffList": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.StaffList(ctx, org)
		return len(all), err
	},
	"LinkStaff": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.LinkStaff(ctx, org, o.staff, "mine", "mine")
	},
	"SetStaffRole": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.SetStaffRole(ctx, org, o.staff, "owner", time.Time{})
		return 1, err
	},
	"SetStaffEnvs": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.SetStaffEnvs(ctx, org, o.staff, []string{"mine"})
		return 1, err
	},
	"KeysMadeBy": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.KeysMadeBy(ctx, org, o.staff)
		return len(all), err
	},
	"RemoveStaff": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.RemoveStaff(ctx, org, o.staff)
	},
	"SuspendStaff": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.SuspendStaff(ctx, env, o.directory, "7", []string{"ann@example.com"}, time.Now().Add(time.Hour))
	},
	"StaffKeys": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.StaffKeys(ctx, org, o.staff)
		return len(all), err
	},
	"StaffKeyUsed": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.StaffKeyUsed(ctx, org, o.staffKey)
	},
	"Manual": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Manual(ctx, env, o.manual)
		return 1, err
	},
	"ManualsOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.ManualsOf(ctx, env, o.directory, "7")
		return len(all), err
	},
	"ManualFor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ManualFor(ctx, env, "recovery of "+o.env)
		return 1, err
	},
	"ClaimManual": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ClaimManual(ctx, env, o.manual, "recovery of "+o.env)
	},
	"ManualSettled": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.ManualSettled(ctx, env, "recovery of "+o.env)
	},
	"RevokeManual": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RevokeManual(ctx, env, o.manual, "mine", []byte("mine"))
	},
	"SessionByID": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.ConsoleSessions(ctx, o.org)
		if err != nil || len(all) == 0 {
			return 1, errors.Join(err, errors.New("no session"))
		}
		_, err = tx.SessionByID(ctx, org, all[0].ID)
		return 1, err
	},
	"ConsoleSessions": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.ConsoleSessions(ctx, org)
		return len(all), err
	},
	"EndSession": func(ctx context.Context, tx *store.Tx, env, org string, o owned) (int, error) {
		all, err := tx.ConsoleSessions(ctx, o.org)
		if err != nil || len(all) == 0 {
			return 0, err
		}
		return 1, tx.EndSession(ctx, org, all[0].ID)
	},
	"Approval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Approval(ctx, env, o.approval)
		return 1, err
	},
	"ApprovalOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ApprovalOf(ctx, env, o.verification, "approval")
		return 1, err
	},
	"OpenApprovals": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.OpenApprovals(ctx, env, "approval")
		return len(all), err
	},
	"TouchApproval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.TouchApproval(ctx, env, o.approval)
	},
	"MoveApproval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.MoveApproval(ctx, env, o.approval, store.ApprovalOpen, store.ApprovalAccepted)
	},
	"CountApprovals": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.CountApprovals(ctx, env, o.verification, "approval")
	},
	"ReplaceApproval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ReplaceApproval(ctx, env, o.approval)
	},
	"ApprovalSettled": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ApprovalSettled(ctx, env, o.approval)
	},
	"AddApprovalAsk": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AddApprovalAsk(ctx, env, o.approval, "another", "another token")
	},
	"ApprovalAsks": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.ApprovalAsks(ctx, env, o.approval)
		return len(all), err
	},
	"ApprovalAskBy": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ApprovalAskBy(ctx, env, "token of "+o.env)
		return 1, err
	},
	"TryApproval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.TryApproval(ctx, env, o.approval, o.staff, 3)
	},
	"DecideApproval": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.DecideApproval(ctx, env, o.approval, o.staff, store.AskApproved, []byte("mine"))
	},
	"AskedOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		open, sent, err := tx.AskedOf(ctx, env, o.staff, "another", time.Time{})
		return open + sent, err
	},
	"SentAbout": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		a, err := tx.Approval(ctx, o.env, o.approval)
		if err != nil {
			return 0, err
		}
		return tx.SentAbout(ctx, env, o.staff, a.Directory, a.Account, time.Time{})
	},

	"Bundle": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		b, err := tx.Bundle(ctx, env)
		if b.Hash == "mine" { // of the environment that asks
			return 0, err
		}
		return 1, err
	},
	"MailStuck": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.MailStuck(ctx, env, store.MailTrouble{Node: "theirs"}, false)
		return 0, err // one of its own
	},
	"MailTroubles": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		list, err := tx.MailTroubles(ctx, env)
		return len(list), err
	},
	"RecordBundle": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.RecordBundle(ctx, env, "mine")
		return 0, err // one of its own
	},

	"Request": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Request(ctx, env, o.request)
		return 1, err
	},
	"RequestByTicket": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.RequestByTicket(ctx, env, "ticket of "+o.env)
		return 1, err
	},
	"SaveRequest": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveRequest(ctx, &store.Request{Env: env, ID: o.request, Version: 1, State: "mine"})
	},
	"Requests": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Requests(ctx, env, store.RequestFilter{Query: o.request, Count: 10})
		return len(all), err
	},
	"RequestsBy": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.RequestsBy(ctx, org)
		return all["asker of "+o.env], err
	},
	"CountRequests": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.CountRequests(ctx, env, store.RequestFilter{Query: o.request})
	},
	"RequestUse": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.RequestUse(ctx, env, o.use)
		return 1, err
	},
	"SaveRequestUse": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveRequestUse(ctx, &store.RequestUse{Env: env, ID: o.use, Version: 1, State: "mine"})
	},
	"PersonID": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (n int, err error) {
		id, err := tx.PersonID(ctx, env, "theirs") // by a key of its own
		if id == theirPerson(o) {
			n = 1
		}
		return n, err
	},
	"Person": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Person(ctx, env, theirPerson(o))
		return 1, err
	},
	"AddPerson": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.AddPerson(ctx, env, theirPerson(o)) // makes one of its own
	},
	"ErasePerson": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ErasePerson(ctx, env, theirPerson(o))
	},
	"PutProperty": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.PutProperty(ctx, env, theirPerson(o), store.Property{Claim: "name", Value: []byte("mine")})
	},
	"PutPicture": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.PutPicture(ctx, env, theirPerson(o), store.PictureSelfie, []byte("mine"))
	},
	"Picture": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, _, err := tx.Picture(ctx, env, theirPerson(o), store.PictureSelfie)
		return 1, err
	},
	"Properties": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Properties(ctx, env, theirPerson(o))
		return len(all), err
	},
	"RevokeProperty": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RevokeProperty(ctx, env, theirPerson(o), "name")
	},
	"AddShare": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AddShare(ctx, env, store.Share{Request: o.request, Person: theirPerson(o)})
	},
	"WidenShare": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.WidenShare(ctx, env, o.request, theirPerson(o), []string{"mine"})
	},
	"PictureSince": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		since, err := tx.PictureSince(ctx, env, theirPerson(o), store.PictureSelfie)
		return int(store.Flag(!since.IsZero())), err
	},
	"RemovePicture": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.RemovePicture(ctx, env, theirPerson(o), store.PictureSelfie) // of its own environment only
	},
	"RevokeShare": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RevokeShare(ctx, env, o.request, theirPerson(o))
	},
	"EndShare": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.EndShare(ctx, env, o.request, theirPerson(o))
	},
	"RequestSend": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		s, err := tx.RequestSend(ctx, env, o.request)
		return len(s.Message), err
	},
	"DropRequestSend": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.DropRequestSend(ctx, env, o.request)
	},
	"Shares": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Shares(ctx, env, theirPerson(o))
		return len(all), err
	},
	"Templates": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Templates(ctx, env)
		return len(slices.DeleteFunc(all, func(t store.Template) bool { return t.ID != o.template })), err // every environment has one of its own
	},
	"Template": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Template(ctx, env, o.template)
		return 1, err
	},
	"SaveTemplate": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveTemplate(ctx, store.Template{Env: env, ID: o.template, Name: "mine", Default: true})
	},
	"RemoveTemplate": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveTemplate(ctx, env, o.template)
	},

	"TrustSources": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.TrustSources(ctx, env)
		return len(all), err
	},
	"TrustSourceIDs": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.TrustSourceIDs(ctx, env)
		return len(all), err
	},
	"TrustSource": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.TrustSource(ctx, env, o.trust)
		return 1, err
	},
	"RemoveTrustSource": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveTrustSource(ctx, env, o.trust)
	},
	"WalletSigner": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.WalletSigner(ctx, env, o.wallet)
		return 1, err
	},
	"WalletExchange": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.WalletExchange(ctx, env, o.wallet)
		return 1, err
	},
	"FetchWalletRequest": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.FetchWalletRequest(ctx, env, o.wallet)
		return 1, err
	},
	"AnswerWallet": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if _, err := tx.FetchWalletRequest(ctx, env, o.wallet); err != nil && !errors.Is(err, store.ErrConflict) {
			return 0, err
		}
		return 1, tx.AnswerWallet(ctx, env, o.wallet, []byte("mine"))
	},
	"RedeemWallet": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if _, err := tx.FetchWalletRequest(ctx, env, o.wallet); err == nil {
			if err := tx.AnswerWallet(ctx, env, o.wallet, []byte("mine")); err != nil {
				return 0, err
			}
		}
		return 1, tx.RedeemWallet(ctx, env, o.wallet)
	},

	"Recovery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Recovery(ctx, env, o.recovery)
		return 1, err
	},
	"SaveRecovery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveRecovery(ctx, &store.Recovery{Env: env, ID: o.recovery, Version: 1, State: "mine"})
	},
	"RecoveriesOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.RecoveriesOf(ctx, env, o.directory, "1", []string{"choosing"})
		return len(all), err
	},
	"RecentRecoveries": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.RecentRecoveries(ctx, env, 10)
		return len(all), err
	},
	"VerificationOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.VerificationOf(ctx, env, o.recovery)
		return 1, err
	},
	"SaveVerification": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveVerification(ctx, &store.Verification{Env: env, ID: o.verification, Version: 1, State: "mine"})
	},
	"Code": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Code(ctx, env, o.verification)
		return 1, err
	},
	"OpenCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.OpenCode(ctx, env, o.verification, "mine") // makes one of its own
	},
	"SetChallenge": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetChallenge(ctx, env, o.verification, store.Code{Challenge: "mine"})
	},
	"Verification": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Verification(ctx, env, o.verification)
		return 1, err
	},
	"AddHandover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AddHandover(ctx, env, o.recovery, store.NewID(), time.Now().Add(time.Hour)) // of a recovery of its own
		return 0, err
	},
	"Handover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Handover(ctx, env, "ticket of "+o.recovery)
		return 1, err
	},
	"UseHandover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UseHandover(ctx, env, store.Claim{Hash: "ticket of " + o.recovery, Session: "mine"})
	},
	"Claim": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if err := claimed(ctx, tx, o); err != nil {
			return 0, err
		}
		_, err := tx.Claim(ctx, env, o.recovery)
		return 1, err
	},
	"Claimed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if err := errors.Join(claimed(ctx, tx, o), tx.RefuseHandover(ctx, o.env, "ticket of "+o.recovery)); err != nil {
			return 0, err
		}
		ok, err := tx.Claimed(ctx, env, o.recovery, "theirs")
		if ok {
			return 1, err
		}
		return 0, err
	},
	"TryHandover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, errors.Join(claimed(ctx, tx, o), tx.TryHandover(ctx, env, "ticket of "+o.recovery, 5))
	},
	"GiveHandover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, errors.Join(claimed(ctx, tx, o), tx.GiveHandover(ctx, env, "ticket of "+o.recovery, "mine"))
	},
	"RefuseHandover": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, errors.Join(claimed(ctx, tx, o), tx.RefuseHandover(ctx, env, "ticket of "+o.recovery))
	},
	"Watches": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		ok, err := tx.Watches(ctx, env, o.recovery, "")
		if ok {
			return 1, err
		}
		return 0, err
	},
	"GiveRecovery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.GiveRecovery(ctx, &store.Recovery{Env: env, ID: o.recovery, Version: 2}, "mine")
	},
	"AddEvidence": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.AddEvidence(ctx, env, o.verification, store.Evidence{Type: "mine"}) // adds one of its own
	},
	"Evidence": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Evidence(ctx, env, o.verification)
		for _, e := range all {
			if e.Type == "theirs" {
				return 1, err
			}
		}
		return 0, err
	},
	"CloseWaiting": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.CloseWaiting(ctx, env, o.verification)
	},
	"DropEvidenceOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.DropEvidenceOf(ctx, env, o.verification, "theirs")
	},
	"DropEvidence": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.DropEvidence(ctx, env, o.recovery)
	},
	"TryCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.TryCode(ctx, env, o.verification, 5)
		return 1, err
	},
	"CloseCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.CloseCode(ctx, env, o.verification)
	},
	"AddCodeSend": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.AddCodeSend(ctx, env, "s") // makes one of its own
	},
	"CountRequestMail": func(ctx context.Context, tx *store.Tx, env, _ string, _ owned) (int, error) {
		full, _, err := tx.CountRequestMail(ctx, env)
		if full {
			return 1, err
		}
		return 0, err
	},
	"RequestMailsFull": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		e, err := tx.Environment(ctx, o.env)
		if err != nil {
			return 0, err
		}
		e.Microsite.RequestMails = 1
		if err := tx.UpdateEnvironment(ctx, e); err != nil {
			return 0, err
		}
		for range 2 {
			if _, _, err := tx.CountRequestMail(ctx, o.env); err != nil {
				return 0, err
			}
		}
		since, err := tx.RequestMailsFull(ctx, env)
		if since.IsZero() {
			return 0, err
		}
		return 1, err
	},
	"CodeSends": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		n, _, err := tx.CodeSends(ctx, env, "s", time.Time{})
		return n, err
	},
	"ForgetCodeSends": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.ForgetCodeSends(ctx, env, "s")
	},
	"ProofCounter": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		c, err := tx.ProofCounter(ctx, env, "s", "m", "p")
		return c.Failures, err
	},
	"SaveProofCounter": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SaveProofCounter(ctx, env, "s", "m", "p", store.ProofCounter{Failures: 9}) // makes one of its own
	},
	"ForgetProofCounter": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.ForgetProofCounter(ctx, env, "s", "m", "p")
	},
	"OperationUses": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		n, _, err := tx.OperationUses(ctx, env, o.directory, "1", time.Time{})
		return n, err
	},
	"AddOperationUse": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.AddOperationUse(ctx, env, o.directory, "1", o.recovery) // makes one of its own
	},
	"DropOperationUse": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.DropOperationUse(ctx, env, o.directory, "1", o.recovery)
	},
	"UseLink": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.UseLink(ctx, env, "jti", "r", time.Now()) // makes one of its own
	},
	"Objection": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Objection(ctx, env, "hash of "+o.env)
		return 1, err
	},
	"UseObjection": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UseObjection(ctx, env, "hash of "+o.env)
	},
	"BlockRecovery": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.BlockRecovery(ctx, env, o.directory, "1", time.Now().Add(48*time.Hour)) // makes one of its own
	},
	"RecoveryBlock": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		until, err := tx.RecoveryBlock(ctx, env, o.directory, "1")
		if until.IsZero() {
			return 0, err
		}
		return 1, err
	},
	"LiftRecoveryBlock": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.LiftRecoveryBlock(ctx, env, o.directory, "1")
	},

	"Factors": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Factors(ctx, env, o.directory, "1")
		return len(all), err
	},
	"Factor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Factor(ctx, env, o.factor)
		return 1, err
	},
	"UnkeyedNames": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.UnkeyedNames(ctx, env, o.directory, 10)
		return len(all), err
	},
	"ManyUnkeyed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		many, err := tx.ManyUnkeyed(ctx, env, o.directory, 1)
		return int(store.Flag(many)), err
	},
	"KeyNames": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.UnkeyedNames(ctx, env, o.directory, 10)
		return len(all), errors.Join(err, tx.KeyNames(ctx, env, all))
	},
	"Namesakes": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Namesakes(ctx, env, o.directory, "nobody", store.NameKeys(o.directory, []string{"theirs"}))
		return len(all), err
	},
	"AccountsNamed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.AccountsNamed(ctx, env, o.directory, store.NameKeys(o.directory, []string{"theirs"}))
		return len(all), err
	},
	"SetCommonNames": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetCommonNames(ctx, env, []int64{1}) // of its own environment only
	},
	"CommonName": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		common, err := tx.CommonName(ctx, env, []int64{42})
		return int(store.Flag(common)), err
	},
	"Review": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Review(ctx, env, o.review)
		return 1, err
	},
	"ReviewOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ReviewOf(ctx, env, o.verification)
		return 1, err
	},
	"BadgeReview": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.BadgeReview(ctx, env, theirPerson(o))
		return 1, err
	},
	"WaitingReviews": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.WaitingReviews(ctx, env)
		return len(all), err
	},
	"SaveReview": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveReview(ctx, &store.Review{Env: env, ID: o.review, Version: 2, State: store.ReviewWaiting})
	},
	"PutReviewImage": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.PutReviewImage(ctx, env, o.review, "front", []byte("mine"))
		if env == o.env && errors.Is(err, store.ErrConflict) { // it waits for people already
			return 1, nil
		}
		return 1, err
	},
	"ReviewImage": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ReviewImage(ctx, env, o.review, "front")
		return 1, err
	},
	"ReviewImages": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.ReviewImages(ctx, env, o.review)
		return len(all), err
	},
	"AddReviewVote": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AddReviewVote(ctx, env, o.review, store.ReviewVote{Reviewer: "b", Round: 1, Verdict: "accept"})
	},
	"ReviewVotes": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.ReviewVotes(ctx, env, o.review)
		return len(all), err
	},
	"EraseReview": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.EraseReview(ctx, env, o.review)
		if env != o.env {
			return 0, err
		}
		return 1, err
	},
	"SMSSettings": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		b, err := tx.SMSSettings(ctx, env)
		return len(b), err
	},
	"SetSMSSettings": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetSMSSettings(ctx, env, []byte("mine")) // of its own environment only
	},
	"OIDCClients": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.OIDCClients(ctx, env)
		return len(all), err
	},
	"OIDCClient": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.OIDCClient(ctx, env, o.client)
		return 1, err
	},
	"OIDCParty": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.OIDCParty(ctx, env, o.client)
		return 1, err
	},
	"SaveOIDCClient": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveOIDCClient(ctx, &store.OIDCClient{Env: env, ID: o.client, Version: 1, Settings: []byte("mine")})
	},
	"RemoveOIDCClient": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveOIDCClient(ctx, env, o.client)
	},
	"OIDCKeys": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.OIDCKeys(ctx, env, o.client)
		return len(all), err
	},
	"SealedOIDCKeys": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.SealedOIDCKeys(ctx, env, o.client)
		return len(all), err
	},
	"RemoveOIDCKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveOIDCKey(ctx, env, o.key)
	},
	"OIDCExchange": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.OIDCExchange(ctx, env, o.exchange)
		return 1, err
	},
	"OIDCExchangeWith": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, _, err := tx.OIDCExchangeWith(ctx, env, o.exchange)
		return 1, err
	},
	"SaveOIDCExchange": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveOIDCExchange(ctx, &store.OIDCExchange{Env: env, ID: o.exchange, Version: 1, State: "mine"})
	},
	"UseOIDCToken": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.UseOIDCToken(ctx, env, "theirs", tx.Now().Add(time.Hour))
		if errors.Is(err, store.ErrConflict) {
			return 1, nil
		}
		return 0, err
	},
	"Destinations": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.Destinations(ctx, org)
		return len(all), err
	},
	"Destination": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.Destination(ctx, org, o.destination)
		return 1, err
	},
	"SaveDestination": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.SaveDestination(ctx, store.Destination{Org: org, ID: o.destination, Settings: []byte("mine")})
	},
	"RemoveDestination": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.RemoveDestination(ctx, org, o.destination)
	},
	"IdentityProviders": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.IdentityProviders(ctx, env)
		return len(all), err
	},
	"Evaluation": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Evaluation(ctx, env, o.evaluation)
		return 1, err
	},
	"Evaluations": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Evaluations(ctx, env, o.directory, 9)
		return len(all), err
	},
	"EvaluationRows": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.EvaluationRows(ctx, env, o.evaluation, store.EvaluationFilter{Count: 9})
		return len(all), err
	},
	"AddEvaluationRows": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AddEvaluationRows(ctx, env, o.evaluation, []store.EvaluationRow{{Account: "2", Detail: []byte("mine")}})
	},
	"RemoveEvaluation": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveEvaluation(ctx, env, o.evaluation)
	},
	"AccountsAfter": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.AccountsAfter(ctx, env, o.directory, "", "", 9)
		return len(all), err
	},
	"CountMembers": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.CountMembers(ctx, env, o.directory, "")
	},
	"IdentityProvider": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.IdentityProvider(ctx, env, o.provider)
		return 1, err
	},
	"SaveIdentityProvider": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SaveIdentityProvider(ctx, store.IdentityProvider{Env: env, ID: o.provider, Body: []byte("mine")})
	},
	"RemoveIdentityProvider": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveIdentityProvider(ctx, env, o.provider)
	},
	"ReviewSettings": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		b, err := tx.ReviewSettings(ctx, env)
		if err == nil && string(b) == "theirs" {
			return 1, nil
		}
		return 0, err
	},
	"SetReviewSettings": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SetReviewSettings(ctx, env, []byte("mine")) // of its own environment only
	},
	"ConfirmFactor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ConfirmFactor(ctx, store.Factor{Env: env, ID: o.factor, Label: "mine", ActiveAt: time.Now()})
	},
	"TryFactor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.TryFactor(ctx, env, o.factor, 5)
	},
	"RenameFactor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RenameFactor(ctx, env, o.factor, "mine")
	},
	"RemoveFactor": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveFactor(ctx, env, o.factor)
	},
	"FactorUsed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.FactorUsed(ctx, env, o.factor)
	},
	"RemoveKeyAtAgents": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.RemoveKeyAtAgents(ctx, env, o.directory, "1", make([]byte, 32))
		all, err2 := tx.KeyRemovals(ctx, env, o.directory)
		return len(all), errors.Join(err, err2)
	},
	"KeyRemovals": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.RemoveKeyAtAgents(ctx, o.env, o.directory, "1", make([]byte, 32))
		all, err2 := tx.KeyRemovals(ctx, env, o.directory)
		return len(all), errors.Join(err, err2)
	},
	"KeyRemoved": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		err := tx.RemoveKeyAtAgents(ctx, o.env, o.directory, "1", make([]byte, 32))
		all, err2 := tx.KeyRemovals(ctx, o.env, o.directory)
		if err != nil || err2 != nil || len(all) == 0 {
			return 0, errors.Join(err, err2)
		}
		return 1, tx.KeyRemoved(ctx, env, all[0].ID)
	},
	"Act": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		a, err := addAct(ctx, tx, o)
		if err != nil {
			return 0, err
		}
		_, err = tx.Act(ctx, env, a.ID)
		return 1, err
	},
	"ActOrder": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		w, err := addActOrder(ctx, tx, o)
		if err != nil {
			return 0, err
		}
		_, err = tx.ActOrder(ctx, env, w.ID)
		return 1, err
	},
	"ActOrders": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if _, err := addActOrder(ctx, tx, o); err != nil {
			return 0, err
		}
		all, err := tx.ActOrders(ctx, env)
		return len(all), err
	},
	"EndActOrder": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		w, err := addActOrder(ctx, tx, o)
		if err != nil {
			return 0, err
		}
		return 1, tx.EndActOrder(ctx, env, w.ID, store.OrderDenied)
	},
	"ActOrdersOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if _, err := addActOrder(ctx, tx, o); err != nil {
			return 0, err
		}
		all, err := tx.ActOrdersOf(ctx, env, o.account)
		return len(all), err
	},
	"LapseActOrder": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		w, err := addActOrder(ctx, tx, o)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, "UPDATE act_orders SET ends_at = 1 WHERE id = $1", w.ID); err != nil {
			return 0, err
		}
		return 1, tx.LapseActOrder(ctx, env, w.ID)
	},
	"HoldsRole": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		holds, err := tx.HoldsRole(ctx, store.Account{Env: env, Directory: o.directory, ImmutableID: "7"})
		if holds {
			return 1, err
		}
		return 0, err
	},
	"ActsOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if _, err := addAct(ctx, tx, o); err != nil {
			return 0, err
		}
		all, err := tx.ActsOf(ctx, env, o.account)
		return len(all), err
	},
	"MoveAct": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		a, err := addAct(ctx, tx, o)
		if err != nil {
			return 0, err
		}
		a.Env = env
		return 1, tx.MoveAct(ctx, a, "cleared")
	},
	"FactorAtAgent": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.FactorAtAgent(ctx, env, o.factor, time.Now())
	},
	"UseStep": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UseStep(ctx, env, o.factor, 9)
	},
	"AddSavedCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AddSavedCode(ctx, env, o.factor, "mine")
	},
	"SavedCodes": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.SavedCodes(ctx, env, o.factor)
		return len(all), err
	},
	"UsedCodes": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.UsedCodes(ctx, env, o.verification)
		return len(all), err
	},
	"UseSavedCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UseSavedCode(ctx, env, o.savedCode, "mine")
	},
	"ReplaceSavedCode": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.ReplaceSavedCode(ctx, env, o.usedCode, o.verification, "mine")
	},

	"AddDomain": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AddDomain(ctx, env, o.domain)
		return 1, err
	},
	"Domains": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Domains(ctx, env)
		return len(all), err
	},
	"RemoveDomain": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveDomain(ctx, env, o.domain)
	},
	"DomainProven": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.DomainProven(ctx, env, o.domain)
	},
	"DomainFailed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.DomainFailed(ctx, env, o.domain, "x", true)
	},

	"APIKey": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		_, err := tx.APIKey(ctx, org, o.apiKey)
		return 1, err
	},
	"APIKeys": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.APIKeys(ctx, org)
		return len(all), err
	},
	"UpdateAPIKey": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.UpdateAPIKey(ctx, org, store.APIKey{ID: o.apiKey})
	},
	"DeleteAPIKey": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 1, tx.DeleteAPIKey(ctx, org, o.apiKey)
	},
	"TouchAPIKey": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		return 0, tx.TouchAPIKey(ctx, org, o.apiKey)
	},

	"Directory": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Directory(ctx, env, o.directory)
		return 1, err
	},
	"Directories": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Directories(ctx, env)
		return len(all) - 1, err // its own one
	},
	"UpdateDirectory": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.UpdateDirectory(ctx, store.Directory{Env: env, ID: o.directory})
	},
	"SetTraits": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetTraits(ctx, env, o.directory, protocol.Traits{})
	},
	"DeleteDirectory": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.DeleteDirectory(ctx, env, o.directory)
	},
	"SetBirthDateKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetBirthDateKey(ctx, env, o.directory, []byte("x"))
	},
	"BirthDateKey": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.BirthDateKey(ctx, env, o.directory)
		return 1, err
	},
	"SetLegacyToken": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetLegacyToken(ctx, env, o.directory, "")
	},
	"CreateTicket": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.CreateTicket(ctx, env, o.directory, "h", time.Minute)
		return 1, err
	},

	"Agent": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Agent(ctx, env, o.agent)
		return 1, err
	},
	"Agents": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Agents(ctx, env, o.directory)
		return len(all), err
	},
	"SetAgentState": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetAgentState(ctx, env, o.agent, protocol.AgentRevoked, protocol.AgentActive)
	},
	"AgentSeen": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.AgentSeen(ctx, env, o.agent, "n", "v", "g", true)
	},
	"AgentWitnessed": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		if err := tx.AgentWitnessed(ctx, env, o.agent, store.Witness{Size: 1, Checkpoint: "note"}); err != nil {
			return 0, err
		}
		a, err := tx.Agent(ctx, env, o.agent)
		return int(a.Witness.Size), err
	},
	"AgentStopped": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		news, err := tx.AgentStopped(ctx, env, o.agent, "hash")
		if !news {
			return 0, err
		}
		return 1, err
	},
	"WitnessedAgents": func(ctx context.Context, tx *store.Tx, _, org string, o owned) (int, error) {
		all, err := tx.WitnessedAgents(ctx, org)
		return len(all), err
	},
	"AgentStanding": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AgentStanding(ctx, env, o.agent)
		return 1, err
	},
	"OpenConflict": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.OpenConflict(ctx, env, o.agent, "i")
	},
	"CloseConflict": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.CloseConflict(ctx, env, o.agent)
	},

	"FindAccounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.FindAccounts(ctx, env, "ada")
		return len(all), err
	},
	"GivenBirthDate": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.GivenBirthDate(ctx, env, o.account)
		return 1, err
	},
	"RemoveGivenBirthDate": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveGivenBirthDate(ctx, env, o.account)
	},
	"SetGivenBirthDate": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetGivenBirthDate(ctx, env, o.account, "mine")
	},
	"AccountPhoto": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AccountPhoto(ctx, env, o.account)
		return 1, err
	},
	"AccountPhotoSum": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AccountPhotoSum(ctx, env, o.account)
		return 1, err
	},
	"SetAccountPhoto": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetAccountPhoto(ctx, env, o.account, "theirs", []byte("theirs"))
	},
	"LendAccountPhoto": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.LendAccountPhoto(ctx, env, o.account, "theirs", []byte("theirs"), tx.Now().Add(time.Hour))
	},
	"ReturnAccountPhoto": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.ReturnAccountPhoto(ctx, env, o.account)
	},
	"RemoveAccountPhoto": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.RemoveAccountPhoto(ctx, env, o.account)
	},
	"Account": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.Account(ctx, env, o.account)
		return 1, err
	},
	"AccountOf": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.AccountOf(ctx, env, o.directory, "1")
		return 1, err
	},
	"Accounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Accounts(ctx, env, store.AccountFilter{Directories: []string{o.directory}, Count: 10})
		return len(all), err
	},
	"CountMatching": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.CountMatching(ctx, env, store.AccountFilter{Directories: []string{o.directory}})
	},
	"SetSubject": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SetSubject(ctx, env, o.account, "mine")
	},
	"AccountGroups": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.AccountGroups(ctx, env, o.account)
		return len(all), err
	},
	"Groups": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.Groups(ctx, env, o.directory, "", 10)
		return len(all), err
	},
	"AllGroups": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		all, err := tx.AllGroups(ctx, env, o.directory)
		return len(all), err
	},
	"PutGroups": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.PutGroups(ctx, env, o.directory, []protocol.Group{{ID: "g", Name: "mine"}})
	},
	"PutAccounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.PutAccounts(ctx, env, o.directory, 1, []store.AccountWrite{{Account: protocol.Account{ID: "new", Name: "mine"}}})
	},
	"KnownAccounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (n int, err error) {
		err = tx.KnownAccounts(ctx, env, o.directory, func(store.KnownAccount) { n++ })
		return n, err
	},
	"KnownAmong": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (n int, err error) {
		err = tx.KnownAmong(ctx, env, o.directory, []string{"1"}, func(store.KnownAccount) { n++ })
		return n, err
	},
	"SweepAccounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 0, tx.SweepAccounts(ctx, env, o.directory, []string{"1"})
	},
	"StartSync": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.StartSync(ctx, env, o.directory, "mine")
	},
	"SyncProgress": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.SyncProgress(ctx, env, o.directory, "run", 9, 9)
	},
	"FinishSync": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return 1, tx.FinishSync(ctx, env, o.directory, "run", store.SyncResult{})
	},
	"FailSync": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.FailSync(ctx, env, o.directory, "run", store.SyncFailure{Error: "mine"})
		return 1, err
	},
	"ConfirmSync": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		_, err := tx.ConfirmSync(ctx, env, o.directory)
		return 1, err
	},
	"CountAccounts": func(ctx context.Context, tx *store.Tx, env, _ string, o owned) (int, error) {
		return tx.CountAccounts(ctx, env, o.directory)
	},
}

// theirPerson names the one person of an environment.
func theirPerson(o owned) string { return "person of " + o.env }

// fillRequests writes a request with everything that belongs to it.
func fillRequests(t *testing.T, s *store.Store, o *owned) {
	t.Helper()
	o.request, o.use = store.NewID(), store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		tmpl := store.Template{Env: o.env, Name: "theirs", Body: []byte("{}")}
		err := errors.Join(tx.AddTemplate(ctx, &store.Template{Env: o.env, Name: "default", Body: []byte("{}")}), tx.AddTemplate(ctx, &tmpl))
		o.template = tmpl.ID
		return errors.Join(err, tx.AddRequest(ctx, &store.Request{Env: o.env, ID: o.request, State: "pending", Ticket: "ticket of " + o.env, Requester: "asker of " + o.env}),
			tx.AddRequestUse(ctx, &store.RequestUse{Env: o.env, ID: o.use, Request: o.request, State: "asked"}),
			tx.AddPerson(ctx, o.env, theirPerson(*o)), tx.PutProperty(ctx, o.env, theirPerson(*o), store.Property{Claim: "name", Value: []byte("theirs")}), tx.PutPicture(ctx, o.env, theirPerson(*o), store.PictureSelfie, []byte("theirs")),
			tx.AddRequestSend(ctx, store.RequestSend{Env: o.env, Request: o.request, Message: []byte("theirs")}),
			tx.AddShare(ctx, o.env, store.Share{Request: o.request, Person: theirPerson(*o), Client: "their browser"}))
	})
}

// addDelivered writes a delivery that is finished.
func addDelivered(ctx context.Context, tx *store.Tx, o *owned) error {
	o.delivery = store.NewID()
	return tx.AddDelivered(ctx, store.Delivery{ID: o.delivery, Env: o.env, Webhook: o.webhook, Event: "e", Body: "{}"}, store.Try{})
}

// fill writes one of everything and returns the ids.
func fill(t *testing.T, s *store.Store) (o owned, f storetest.Fixture) {
	t.Helper()
	f = storetest.Seed(t, s)
	f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}, Groups: []protocol.Group{{ID: "g"}}})
	o = owned{org: f.Org.ID, env: f.Env.ID, directory: f.Directory.ID, domain: store.NewID() + ".example.com", staff: store.NewID()}
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.AccountOf(ctx, o.env, o.directory, "1")
		o.account = a.ID
		_, errPerson := tx.NeedPersonKey(ctx, o.env, o.account)
		k, errKey := tx.CreateAPIKey(ctx, store.APIKey{Org: o.org, Name: "k", Hash: store.NewID(), Role: "owner", Enabled: true, CreatedBy: o.staff})
		o.apiKey = k.ID
		_, errDomain := tx.AddDomain(ctx, o.env, o.domain)
		hook, errHook := tx.AddWebhook(ctx, store.Webhook{Env: o.env, URL: "https://example.com", Authorization: "theirs"})
		o.webhook, o.event = hook, store.NewID()
		return errors.Join(err, errPerson, tx.SetGivenBirthDate(ctx, o.env, o.account, "theirs"), tx.SetAccountPhoto(ctx, o.env, o.account, "theirs", []byte("theirs")), errKey, errDomain, errHook, addDelivered(ctx, tx, &o), tx.AddMail(ctx, o.env, []byte("theirs"), tx.Now().Add(time.Hour)), tx.PutGroups(ctx, o.env, o.directory, []protocol.Group{{ID: "g", Name: "G"}}),
			tx.SetLogo(ctx, o.env, store.NewLogo("mobile", "image/png", []byte("theirs"))), tx.SetDirectoryLogo(ctx, o.env, o.directory, store.NewLogo("", "image/png", []byte("theirs"))),
			tx.SetBirthDateKey(ctx, o.env, o.directory, []byte("k")), tx.StartSync(ctx, o.env, o.directory, "run"),
			tx.AppendAudit(ctx, store.AuditRow{ID: o.event, Org: o.org, Env: o.env, Kind: "k", Account: o.account}))
	})
	o.recovery, o.verification = store.NewID(), store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		r := store.Recovery{Env: o.env, ID: o.recovery, State: "choosing", Directory: o.directory, Account: "1", Private: []byte("{}")}
		add := tx.AddRecovery(ctx, &r)
		r.Directory, r.Account = o.directory, "1"
		return errors.Join(add, tx.SaveRecovery(ctx, &r),
			tx.AddVerification(ctx, &store.Verification{Env: o.env, ID: o.verification, Recovery: o.recovery, State: "open"}),
			tx.OpenCode(ctx, o.env, o.verification, "theirs"), tx.AddEvidence(ctx, o.env, o.verification, store.Evidence{Type: "theirs", Raw: []byte("proof")}), addHandover(ctx, tx, o), tx.AddCodeSend(ctx, o.env, "s"), tx.UseLink(ctx, o.env, "jti", o.recovery, time.Now()),
			tx.SaveProofCounter(ctx, o.env, "s", "m", "p", store.ProofCounter{Failures: 3}), tx.AddOperationUse(ctx, o.env, o.directory, "1", o.recovery),
			tx.AddObjection(ctx, store.Objection{Hash: "hash of " + o.env, Env: o.env, ExpiresAt: time.Now().Add(time.Hour)}),
			tx.BlockRecovery(ctx, o.env, o.directory, "1", time.Now().Add(time.Hour)))
	})
	var err error
	if o.secret, err = s.EncryptSecret(t.Context(), o.env, []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	o.staffKey, o.approval, o.manual = store.NewID(), store.NewID(), store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.AddStaff(ctx, &store.Staff{Org: o.org, ID: o.staff, Name: "Ann", Mail: "Ann@example.com", Directory: o.directory, Account: "7"}),
			tx.AddStaffKey(ctx, &store.StaffKey{Org: o.org, ID: o.staffKey, Staff: o.staff, RP: "x.example", Credential: o.staffKey, Secret: []byte("{}")}),
			tx.OpenStaffSession(ctx, o.org, o.staff, "session of "+o.org, "device"),
			tx.AddApproval(ctx, &store.Approval{Env: o.env, ID: o.approval, Verification: o.verification, Kind: "approval", Directory: o.directory, Account: "1", People: 1,
				Details: []byte("theirs"), EndsAt: tx.Now().Add(time.Hour)}),
			tx.AddManual(ctx, &store.Manual{Env: o.env, ID: o.manual, Directory: o.directory, Account: "7", Staff: o.staff, Details: []byte("{}"), EndsAt: time.Now().Add(time.Hour)}),
			tx.AddApprovalAsk(ctx, o.env, o.approval, o.staff, "token of "+o.env))
	})
	o.review = store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		r := store.Review{Env: o.env, ID: o.review, Verification: o.verification, Directory: o.directory, Person: o.account, State: store.ReviewOpen,
			Round: 1, Reviewers: 1, EndsAt: tx.Now().Add(time.Hour)}
		err := errors.Join(tx.AddReview(ctx, &r), tx.PutReviewImage(ctx, o.env, o.review, "front", []byte("theirs")), setStorage(ctx, tx, &o), tx.SetReviewSettings(ctx, o.env, []byte("theirs")),
			tx.AddReviewVote(ctx, o.env, o.review, store.ReviewVote{Reviewer: "a", Round: 1, Verdict: "accept"}))
		r.State = store.ReviewWaiting
		badge := store.Review{Env: o.env, ID: store.NewID(), About: store.AboutBadge, Person: theirPerson(o), State: store.ReviewWaiting, Round: 1, Reviewers: 1, EndsAt: tx.Now().Add(time.Hour)}
		return errors.Join(err, tx.SaveReview(ctx, &r), tx.AddReview(ctx, &badge))
	})
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		p := store.IdentityProvider{Env: o.env, Body: []byte("theirs")}
		err := errors.Join(tx.AddIdentityProvider(ctx, &p), tx.SetSMSSettings(ctx, o.env, []byte("theirs")))
		o.provider = p.ID
		collector := store.Destination{Org: o.org, Settings: []byte("theirs")}
		err = errors.Join(err, tx.AddDestination(ctx, &collector))
		o.destination = collector.ID
		if _, err := tx.MailStuck(ctx, o.env, store.MailTrouble{Node: "theirs"}, false); err != nil {
			return err
		}
		if _, err := tx.RecordBundle(ctx, o.env, "theirs"); err != nil {
			return err
		}
		c := store.OIDCClient{Env: o.env, Contract: "entra_eam", Settings: []byte("theirs")}
		if err := tx.AddOIDCClient(ctx, &c); err != nil {
			return err
		}
		o.client, o.key, o.exchange = c.ID, "key of "+o.env, store.NewSortedID(tx.Now())
		err = errors.Join(err, tx.AddOIDCKey(ctx, store.OIDCKey{Env: o.env, Client: c.ID, ID: o.key, Private: []byte("theirs")}),
			tx.AddOIDCExchange(ctx, &store.OIDCExchange{Env: o.env, ID: o.exchange, Client: c.ID, Secret: store.HashToken(store.NewToken()), ExpiresAt: tx.Now().Add(time.Hour)}),
			tx.UseOIDCToken(ctx, o.env, "theirs", tx.Now().Add(time.Hour)))
		if err != nil {
			return err
		}
		e := store.Evaluation{Env: o.env, Directory: o.directory, Scope: []byte("{}"), Expires: time.Now().Add(time.Hour)}
		if err := tx.AddEvaluation(ctx, &e); err != nil {
			return err
		}
		o.evaluation = e.ID
		if err := tx.AddEvaluationRows(ctx, o.env, e.ID, []store.EvaluationRow{{Account: "1", Reasons: ",no_mail,", Detail: []byte("theirs")}}); err != nil {
			return err
		}
		return nil
	})
	o.factor = store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		err := tx.AddFactor(ctx, &store.Factor{Env: o.env, ID: o.factor, Directory: o.directory, Account: "1", Kind: "totp", Secret: []byte("theirs")})
		if err = errors.Join(err, tx.AddSavedCode(ctx, o.env, o.factor, "a"), tx.AddSavedCode(ctx, o.env, o.factor, "b")); err != nil {
			return err
		}
		codes, err := tx.SavedCodes(ctx, o.env, o.factor)
		if err != nil {
			return err
		}
		o.savedCode, o.usedCode = codes[0].ID, codes[1].ID
		return tx.UseSavedCode(ctx, o.env, o.usedCode, o.verification)
	})
	fillRequests(t, s, &o)
	o.wallet = store.NewID()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		source := store.TrustSource{Env: o.env, Kind: store.TrustPEM, Name: "theirs", Body: []byte("b")}
		err := tx.AddTrustSource(ctx, &source)
		o.trust = source.ID
		return errors.Join(err, tx.SetWalletSigner(ctx, store.WalletSigner{Env: o.env, Host: o.wallet, Private: []byte("k")}),
			tx.OpenWalletExchange(ctx, store.WalletExchange{Env: o.env, ID: o.wallet, Request: o.wallet, Verification: o.verification, Private: []byte("p"), ExpiresAt: time.Now().Add(time.Hour)}))
	})
	agent, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.Agent, error) {
		hash := store.NewID()
		if _, err := tx.CreateTicket(t.Context(), o.env, o.directory, hash, time.Minute); err != nil {
			return store.Agent{}, err
		}
		a, err := tx.EnrolAgent(t.Context(), hash, store.Agent{NoiseKey: []byte(store.NewID()), SignKey: []byte("s")})
		return a, errors.Join(err, tx.AgentWitnessed(t.Context(), a.Env, a.ID, store.Witness{Size: 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	o.agent = agent.ID
	return o, f
}

// claimed reads the ticket of o's recovery as another browser does.
func claimed(ctx context.Context, tx *store.Tx, o owned) error {
	return tx.UseHandover(ctx, o.env, store.Claim{Hash: "ticket of " + o.recovery, Session: "theirs"})
}

func addHandover(ctx context.Context, tx *store.Tx, o owned) error {
	_, err := tx.AddHandover(ctx, o.env, o.recovery, "ticket of "+o.recovery, time.Now().Add(time.Hour))
	return err
}

// T25: another environment's ids find nothing and change nothing, by any query.
func TestT25_AnotherEnvironmentsIDsFindNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		theirs, _ := fill(t, s)
		before := snapshot(t, s, theirs)
		for name, query := range foreign {
			mine := storetest.Seed(t, s) // of each query its own: some make rows there, which others would find
			err := s.Tx(t.Context(), func(tx *store.Tx) error {
				found, err := query(t.Context(), tx, mine.Env.ID, mine.Org.ID, theirs)
				if err == nil && found > 0 {
					t.Errorf("%s found or changed %d things of another environment", name, found)
				}
				if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
					t.Errorf("%s: %v", name, err)
				}
				return err
			})
			_ = err // judged above; here it only undoes what a refused query did
		}
		if after := snapshot(t, s, theirs); !reflect.DeepEqual(before, after) {
			t.Errorf("the other environment was changed:\n%+v\n%+v", before, after)
		}
	})
}

// snapshot reads everything that foreign could have changed.
func snapshot(t *testing.T, s *store.Store, o owned) (all []any) {
	t.Helper()
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		var errs []error
		add := func(v any, err error) { all, errs = append(all, v), append(errs, err) }
		d, err := tx.Directory(ctx, o.env, o.directory)
		add(d, err)
		a, err := tx.Account(ctx, o.env, o.account)
		add(a, err)
		photo, err := tx.AccountPhoto(ctx, o.env, o.account)
		add(photo, err)
		born, err := tx.GivenBirthDate(ctx, o.env, o.account)
		add(born, err)
		k, err := tx.APIKey(ctx, o.org, o.apiKey)
		add(k, err)
		g, err := tx.Agent(ctx, o.env, o.agent)
		add(g, err)
		n, err := tx.Domain(ctx, o.domain)
		add(n, err)
		hooks, err := tx.Webhooks(ctx, o.env)
		add(hooks, err)
		groups, err := tx.AllGroups(ctx, o.env, o.directory)
		add(groups, err)
		birth, err := tx.BirthDateKey(ctx, o.env, o.directory)
		add(birth, err)
		person, err := tx.PersonKey(ctx, o.env, o.account)
		add(person, err)
		recovery, err := tx.Recovery(ctx, o.env, o.recovery)
		add(recovery, err)
		verification, err := tx.VerificationOf(ctx, o.env, o.recovery)
		add(verification, err)
		code, err := tx.Code(ctx, o.env, o.verification)
		add(code, err)
		counter, err := tx.ProofCounter(ctx, o.env, "s", "m", "p")
		add(counter, err)
		sends, _, err := tx.CodeSends(ctx, o.env, "s", time.Time{})
		add(sends, err)
		uses, _, err := tx.OperationUses(ctx, o.env, o.directory, "1", time.Time{})
		add(uses, err)
		objection, err := tx.Objection(ctx, o.env, "hash of "+o.env)
		add(objection, err)
		block, err := tx.RecoveryBlock(ctx, o.env, o.directory, "1")
		add(block, err)
		factors, err := tx.Factors(ctx, o.env, o.directory, "1")
		add(factors, err)
		codes, err := tx.SavedCodes(ctx, o.env, o.factor)
		add(codes, err)
		staff, err := tx.Staff(ctx, o.org, o.staff)
		add(staff, err)
		keys, err := tx.StaffKeys(ctx, o.org, o.staff)
		add(keys, err)
		sessions, err := tx.ConsoleSessions(ctx, o.org)
		add(sessions, err)
		approval, err := tx.Approval(ctx, o.env, o.approval)
		add(approval, err)
		asks, err := tx.ApprovalAsks(ctx, o.env, o.approval)
		add(asks, err)
		review, err := tx.Review(ctx, o.env, o.review)
		add(review, err)
		picture, err := tx.ReviewImage(ctx, o.env, o.review, "front")
		add(picture, err)
		votes, err := tx.ReviewVotes(ctx, o.env, o.review)
		add(votes, err)
		settings, err := tx.ReviewSettings(ctx, o.env)
		add(settings, err)
		sms, err := tx.SMSSettings(ctx, o.env)
		add(sms, err)
		provider, err := tx.IdentityProvider(ctx, o.env, o.provider)
		add(provider, err)
		destination, err := tx.Destination(ctx, o.org, o.destination)
		add(destination, err)
		client, err := tx.OIDCClient(ctx, o.env, o.client)
		add(client, err)
		oidcKeys, err := tx.OIDCKeys(ctx, o.env, o.client)
		add(oidcKeys, err)
		exchange, err := tx.OIDCExchange(ctx, o.env, o.exchange)
		add(exchange, err)
		evaluation, err := tx.Evaluation(ctx, o.env, o.evaluation)
		add(evaluation, err)
		evaluated, err := tx.EvaluationRows(ctx, o.env, o.evaluation, store.EvaluationFilter{Count: 9})
		add(evaluated, err)
		request, err := tx.Request(ctx, o.env, o.request)
		add(request, err)
		send, err := tx.RequestSend(ctx, o.env, o.request)
		add(send, err)
		use, err := tx.RequestUse(ctx, o.env, o.use)
		add(use, err)
		selfie, _, err := tx.Picture(ctx, o.env, theirPerson(o), store.PictureSelfie)
		add(selfie, err)
		properties, err := tx.Properties(ctx, o.env, theirPerson(o))
		add(properties, err)
		shares, err := tx.Shares(ctx, o.env, theirPerson(o))
		add(shares, err)
		templates, err := tx.Templates(ctx, o.env)
		add(templates, err)
		storage, err := tx.ActiveStorage(ctx, o.env)
		add(storage, err)
		logos, err := tx.Logos(ctx, o.env)
		add(logos, err)
		return errors.Join(errs...)
	})
	return all
}

// T25: a new query must take the environment and be tried with another one above, or
// say why it takes none.
func TestT25_EveryQueryIsTriedWithAnotherEnvironment(t *testing.T) {
	typ := reflect.TypeFor[*store.Tx]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		_, tried := foreign[name]
		_, without := withoutEnvironment[name]
		if tried == without {
			t.Errorf("Tx.%s: put it into the table foreign (it takes the environment first) or into withoutEnvironment (with the reason)", name)
		}
	}
}

// The queries of the table do find the things of their own environment: otherwise the
// test above could not fail.
func TestT25_TheSameQueriesFindTheirOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, name := range []string{"Directory", "Account", "AccountOf", "Accounts", "FindAccounts", "AccountGroups", "Groups", "AllGroups",
			"Agent", "Agents", "Evaluation", "Evaluations", "EvaluationRows", "AccountsAfter", "CountMembers", "Domains", "BirthDateKey", "KnownAccounts", "KnownAmong", "CountAccounts", "APIKey", "APIKeys", "Environments",
			"SetSubject", "SetTraits", "UpdateDirectory", "SetAgentState", "AgentSeen", "AgentWitnessed", "AgentStopped", "WitnessedAgents", "AgentStanding", "OpenConflict", "StartSync", "SyncProgress", "FinishSync", "FailSync", "RemoveDomain", "DeleteDirectory", "AuditRows", "PersonKey", "ErasePersonKey", "DeleteAPIKey",
			"Recovery", "RecoveriesOf", "RecentRecoveries", "VerificationOf", "SaveVerification", "Code", "SetChallenge", "TryCode",
			"CodeSends", "RequestMailsFull", "ProofCounter", "OperationUses", "Objection", "UseObjection", "RecoveryBlock",
			"UnkeyedNames", "ManyUnkeyed", "Review", "ReviewOf", "PictureSince", "BadgeReview", "WidenShare", "WaitingReviews", "SaveReview", "PutReviewImage", "ReviewImage", "ReviewImages", "AddReviewVote", "ReviewVotes", "EraseReview", "ReviewSettings",
			"Staff", "StaffList", "KeysMadeBy", "RemoveStaff", "SuspendStaff", "StaffKeys", "StaffKeyUsed", "ConsoleSessions", "SessionByID", "LinkStaff", "SetStaffRole", "SetStaffEnvs", "EndSession", "Manual", "ManualsOf", "ClaimManual", "RevokeManual", "Approval", "ApprovalOf", "OpenApprovals",
			"TouchApproval", "MoveApproval", "CountApprovals", "ReplaceApproval", "ApprovalSettled", "AddApprovalAsk", "ApprovalAsks", "ApprovalAskBy", "TryApproval", "DecideApproval", "AskedOf", "SentAbout",
			"ActiveStorage", "StorageOf", "StorageResult", "StorageWaiting", "OpenSecret", "Logos", "RemoveLogo", "SetDirectoryLogo", "RemoveDirectoryLogo",
			"Destinations", "Destination", "SaveDestination", "RemoveDestination", "SMSSettings", "IdentityProviders", "IdentityProvider", "SaveIdentityProvider", "RemoveIdentityProvider",
			"OIDCClients", "OIDCClient", "SaveOIDCClient", "RemoveOIDCClient", "OIDCKeys", "RemoveOIDCKey", "OIDCExchange", "SaveOIDCExchange", "UseOIDCToken",
			"Request", "RequestByTicket", "SaveRequest", "Requests", "CountRequests", "RequestsBy", "RequestUse", "SaveRequestUse", "Person", "ErasePerson", "Properties",
			"RevokeProperty", "RevokeShare", "EndShare", "RequestSend", "Shares", "Templates", "Template", "SaveTemplate", "RemoveTemplate",
			"Factors", "Factor", "ConfirmFactor", "TryFactor", "RenameFactor", "RemoveFactor", "FactorUsed", "FactorAtAgent", "RemoveKeyAtAgents", "KeyRemovals", "KeyRemoved", "HoldsRole", "Act", "ActsOf", "MoveAct", "ActOrder", "ActOrders", "ActOrdersOf", "EndActOrder", "LapseActOrder", "UseStep", "AddSavedCode", "SavedCodes", "UsedCodes", "UseSavedCode", "ReplaceSavedCode"} {
			o, _ := fill(t, s)
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				found, err := foreign[name](ctx, tx, o.env, o.org, o)
				if found == 0 {
					t.Errorf("%s finds nothing of its own environment", name)
				}
				return err
			})
		}
	})
}

// addActOrder has an account operation wait.
func addActOrder(ctx context.Context, tx *store.Tx, o owned) (store.ActOrder, error) {
	w := store.ActOrder{Env: o.env, ID: store.NewID(), Directory: o.directory, Person: o.account, Operation: "disable", Body: []byte("{}"), Changes: "[]", Created: tx.Now(), Ends: tx.Now().Add(time.Hour)}
	return w, tx.AddActOrder(ctx, w)
}

// addAct orders an account operation.
func addAct(ctx context.Context, tx *store.Tx, o owned) (store.Act, error) {
	a := store.Act{Env: o.env, ID: store.NewID(), Directory: o.directory, Account: "1", Person: o.account, Operation: "disable", Agent: o.agent, State: "cleared", Changes: "[]", Created: tx.Now(), Due: tx.Now()}
	return a, tx.AddAct(ctx, a)
}

// setStorage gives an environment a storage.
func setStorage(ctx context.Context, tx *store.Tx, o *owned) error {
	if err := tx.SetStorage(ctx, o.env, []byte("theirs")); err != nil {
		return err
	}
	s, err := tx.ActiveStorage(ctx, o.env)
	o.storage = s.ID
	return err
}
