/**
 * Fields that a rule names and its schema does not have: a slip of the pen that CEL would only find
 * when the rule runs. Kubernetes finds it when the rule is compiled.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Schema } from '#api/resources/mod.ts';
import { celName } from './cel-value.ts';
import { COMPREHENSIONS, isNode } from './rule.ts';

/** What is known of a value; undefined: nothing, so anything may be asked of it. */
type Known = Schema | undefined;
type Names = ReadonlyMap<string, Known>;

export function findUnknownFields(ast: ASTNode, schema: Schema): readonly string[] {
  const unknown: string[] = [];
  const names = new Map<string, Known>([
    ['self', schema],
    ['oldSelf', schema],
  ]);
  new Walk(unknown).typeOf(ast, names);
  return unknown;
}

class Walk {
  readonly #unknown: string[];

  constructor(unknown: string[]) {
    this.#unknown = unknown;
  }

  typeOf(node: ASTNode, names: Names): Known {
    switch (node.op) {
      case 'id':
        return names.get(node.args);
      case '.':
      case '.?': {
        const [object, name] = node.args;
        return this.#fieldOf(this.typeOf(object, names), name);
      }
      case '[]': {
        const [object, key] = node.args;
        this.typeOf(key, names);
        return itemOf(this.typeOf(object, names));
      }
      case 'rcall':
        return this.#callOf(node.args, names);
      default:
        this.#visit(node.args, names);
        return undefined;
    }
  }

  #callOf([name, object, args]: [string, ASTNode, ASTNode[]], names: Names): Known {
    const of = this.typeOf(object, names);
    const [variable] = args;
    if (!COMPREHENSIONS.has(name) || variable?.op !== 'id') {
      this.#visit(args, names);
      return undefined;
    }
    // Of a map the keys are visited.
    const item = of?.type === 'object' ? undefined : itemOf(of);
    this.#visit(args.slice(1), new Map([...names, [variable.args, item]]));
    return name === 'filter' ? of : undefined;
  }

  #visit(value: unknown, names: Names): void {
    if (Array.isArray(value)) for (const one of value) this.#visit(one, names);
    else if (isNode(value)) this.typeOf(value, names);
  }

  #fieldOf(of: Known, name: string): Known {
    if (of === undefined || of['x-kubernetes-preserve-unknown-fields'] === true) return undefined;
    const fields = Object.entries(of.properties ?? {});
    const found = fields.find(([key]) => celName(key) === name);
    if (found !== undefined) return found[1];
    if (of.additionalProperties !== undefined) return of.additionalProperties;
    if (fields.length > 0) this.#unknown.push(name);
    return undefined;
  }
}

function itemOf(of: Known): Known {
  return of?.items ?? of?.additionalProperties;
}
