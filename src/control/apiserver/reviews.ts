/** Questions about oneself. There is one user, and it may do everything. */
import type { JsonObject } from '#api/resources/mod.ts';
import { metaOf } from './catalog.ts';
import { badRequest } from './failure.ts';

const USER = {
  username: 'admin',
  uid: 'admin',
  groups: ['system:masters', 'system:authenticated'],
};

interface Review {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly status: JsonObject;
}

const AUTHORIZATION = { group: 'authorization.k8s.io', version: 'v1' } as const;

export const REVIEWS: readonly Review[] = [
  {
    group: 'authentication.k8s.io',
    version: 'v1',
    kind: 'SelfSubjectReview',
    plural: 'selfsubjectreviews',
    status: { userInfo: USER },
  },
  {
    ...AUTHORIZATION,
    kind: 'SelfSubjectAccessReview',
    plural: 'selfsubjectaccessreviews',
    status: { allowed: true },
  },
  {
    ...AUTHORIZATION,
    kind: 'SelfSubjectRulesReview',
    plural: 'selfsubjectrulesreviews',
    status: {
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    },
  },
];

export function findReview(group: string, version: string, plural: string): Review | undefined {
  return REVIEWS.find(
    (one) => one.group === group && one.version === version && one.plural === plural,
  );
}

export function answerReview(review: Review, body: unknown): JsonObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest(`the body is no ${review.kind} object`);
  }
  const { spec } = body as JsonObject;
  const { name } = metaOf(body as JsonObject);
  return {
    kind: review.kind,
    apiVersion: `${review.group}/${review.version}`,
    metadata: { ...(name === undefined ? {} : { name }), creationTimestamp: null },
    ...(spec === undefined ? {} : { spec }),
    status: review.status,
  };
}
