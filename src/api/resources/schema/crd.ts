/** A CustomResourceDefinition as `kubectl apply` takes it. */
import type { JsonObject, PrinterColumn, Resource, Schema } from '../resource.ts';

/** `isCustom` kinds only: built-in ones have no definition. */
export function toCrd(resource: Resource): JsonObject {
  const { categories, group, kind, listKind, plural, shortNames, singular, version } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: {
        kind,
        listKind,
        plural,
        singular,
        ...(shortNames.length === 0 ? {} : { shortNames }),
        ...(categories.length === 0 ? {} : { categories }),
      },
      scope: resource.isNamespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          ...(resource.hasStatus ? { subresources: { status: {} } } : {}),
          additionalPrinterColumns: resource.columns.map(toColumn),
          schema: { openAPIV3Schema: toRoot(resource.schema) },
        },
      ],
    },
  };
}

function toColumn({ name, type, format, description, priority, jsonPath }: PrinterColumn) {
  return {
    name,
    type,
    ...(format === undefined ? {} : { format }),
    ...(description === '' ? {} : { description }),
    ...(priority === 0 ? {} : { priority }),
    jsonPath,
  };
}

/** A definition may say no more about metadata than what names may be. */
function toRoot(schema: Schema): Schema {
  const { metadata, ...properties } = schema.properties ?? {};
  const name = metadata?.properties?.['name'];
  const { description: _description, ...rule } = name ?? {};
  const isRuled = rule.pattern !== undefined;
  return {
    ...schema,
    properties: {
      ...properties,
      metadata: isRuled ? { type: 'object', properties: { name: rule } } : { type: 'object' },
    },
  };
}
