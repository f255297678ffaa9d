/** CEL rules of schemas: x-kubernetes-validations, as custom resources have them. */
export { checkRules, findRuleErrors } from './check-rules.ts';
