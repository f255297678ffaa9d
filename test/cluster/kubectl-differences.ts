/** Where kubectl sees that our server is not kube-apiserver, and why that stays so. */

export interface KubectlDifference {
  /** What differs, as a heading. */
  readonly what: string;
  readonly why: string;
  /** Titles of the commands that show it. */
  readonly commands: readonly string[];
}

export const DIFFERENCES_MAX = 10;

export const KUBECTL_DIFFERENCES: readonly KubectlDifference[] = [];
