"""Patches of moto 5.2.5 for requests of a deployment that AWS accepts and moto does not.

They are two requests of ``chalice deploy`` and parts of CloudFormation. So the code that deploys to
AWS needs no exceptions for the embedded AWS. One patch is for speed: DynamoDB's transactions.
"""

import copy
import inspect
import json
import re
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from moto.apigateway.models import APIGatewayBackend
from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend
from moto.core.exceptions import AWSError
from moto.core.utils import pascal_to_camelcase, remap_nested_keys
from moto.dynamodb import models as dynamodb
from moto.dynamodb.models.table import Table
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.route_tables import RouteTable
from moto.ecr.models import Repository, ecr_backends
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.models import Cluster, EC2ContainerServiceBackend, TaskDefinition, ecs_backends
from moto.iam.models import SERVICE_NAME_CONVERSION, Role, iam_backends
from moto.logs.models import LogGroup
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.stepfunctions import models as stepfunctions
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import (
    StepFunctionsParserBackend,
    stepfunctions_parser_backends,
)

from . import access, iam_requests


def install() -> None:
    _accept_names_of_filter_rules()
    _accept_swagger()
    _resolve_functions()
    _fill_in_state_machines()
    _keep_complete_task_definitions()
    _require_managed_rules()
    _require_capacity_providers()
    _keep_versions()
    _answer_with_outputs()
    _delete_route_tables()
    _empty_repositories()
    _name_interfaces()
    _end_log_group_arns_with_a_star()
    _keep_policies_as_json()
    _copy_a_table_once_in_a_transaction()


def _accept_names_of_filter_rules() -> None:
    """S3 accepts the names in any case; Chalice sends Prefix and Suffix, moto needs lower case."""
    parse = S3Response._notification_config_from_body

    def notification_config_from_body(self: Any) -> dict[str, Any]:
        for name in ("prefix", "suffix"):
            self.body = self.body.replace(
                f"<Name>{name.title()}</Name>".encode(), f"<Name>{name}</Name>".encode()
            )
        return parse(self)

    S3Response._notification_config_from_body = notification_config_from_body  # type: ignore[method-assign]


def _accept_swagger() -> None:
    """Chalice sends Swagger 2 without a description; moto needs OpenAPI 3 with a description.

    Paths, methods and integrations, which moto reads, are the same in both.
    """
    import_api, put_api = APIGatewayBackend.import_rest_api, APIGatewayBackend.put_rest_api

    def import_rest_api(self: Any, api_doc: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        info = {"description": "", **api_doc.get("info", {})}
        return import_api(self, {**api_doc, "info": info}, *args, **kwargs)

    def put_rest_api(
        self: Any, function_id: str, api_doc: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        document = {name: value for name, value in api_doc.items() if name != "swagger"}
        document.setdefault("openapi", "3.0.1")
        return put_api(self, function_id, document, *args, **kwargs)

    APIGatewayBackend.import_rest_api = import_rest_api  # type: ignore[method-assign]
    APIGatewayBackend.put_rest_api = put_rest_api  # type: ignore[method-assign]


def _resolve_functions() -> None:
    """Resolve two functions of a template that fail in moto.

    moto does not resolve a reference in Fn::GetAZs, and refuses an attribute of a resource that it
    does not support, such as an alarm.
    """
    clean = parsing.clean_json

    def clean_json(document: Any, resources: Any) -> Any:
        match document:
            case {"Fn::GetAZs": dict() as region}:
                return clean({"Fn::GetAZs": clean(region, resources)}, resources)
            case {"Fn::GetAtt": [name, attribute]} if resources.get(name) is None:
                return f"{name}.{attribute}"
        return clean(document, resources)

    parsing.clean_json = clean_json  # type: ignore[assignment]


def _fill_in_state_machines() -> None:
    """moto ignores DefinitionSubstitutions, and creates a machine that cannot be executed."""
    stepfunctions.stepfunctions_backends = stepfunctions_parser_backends  # type: ignore[assignment]
    create = StateMachine.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
    update = StateMachine.update_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def fill_in(properties: dict[str, Any]) -> None:
        values = properties.pop("DefinitionSubstitutions", {})
        properties["DefinitionString"] = re.sub(
            r"\$\{(\w+)\}",
            lambda match: json.dumps(str(values[match[1]]))[1:-1],
            properties["DefinitionString"],
        )

    def create_from(cls: Any, /, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        fill_in(resource["Properties"])
        return create(cls, name, resource, *args, **kwargs)

    def update_from(cls: Any, /, *, cloudformation_json: Any, **kwargs: Any) -> Any:
        fill_in(cloudformation_json["Properties"])
        return update(cls, cloudformation_json=cloudformation_json, **kwargs)

    StateMachine.create_from_cloudformation_json = classmethod(create_from)  # type: ignore[assignment,method-assign]
    StateMachine.update_from_cloudformation_json = classmethod(update_from)  # type: ignore[assignment,method-assign]


def _keep_complete_task_definitions() -> None:
    """moto keeps the containers, and drops Fargate, the network mode and both roles."""

    def create_from(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        del cls, name, kwargs
        properties = remap_nested_keys(resource["Properties"], pascal_to_camelcase)
        return ecs_backends[account_id][region_name].register_task_definition(
            family=properties["family"],
            container_definitions=properties["containerDefinitions"],
            volumes=properties.get("volumes"),
            network_mode=properties["networkMode"],
            requires_compatibilities=properties["requiresCompatibilities"],
            cpu=properties["cpu"],
            memory=properties["memory"],
            task_role_arn=properties["taskRoleArn"],
            execution_role_arn=properties["executionRoleArn"],
            runtime_platform=properties.get("runtimePlatform"),
            ephemeral_storage=properties.get("ephemeralStorage"),
        )

    def update_from(
        cls: Any, /, *, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        del kwargs
        return create_from(cls, "", cloudformation_json, account_id, region_name)

    TaskDefinition.create_from_cloudformation_json = classmethod(create_from)  # type: ignore[assignment,method-assign]
    TaskDefinition.update_from_cloudformation_json = classmethod(update_from)  # type: ignore[assignment,method-assign]


class _NotAuthorizedError(AWSError):
    TYPE = "AccessDeniedException"
    STATUS = 400


def _require_managed_rules() -> None:
    """Step Functions creates the rules of .sync states with the machine, as the machine's role."""
    create = StepFunctionsParserBackend.create_state_machine
    update = StepFunctionsParserBackend.update_state_machine

    def require(definition: str, role_arn: str) -> None:
        if not access.credentials(role_arn):
            return
        try:
            for check in iam_requests.machine_creation_checks(json.loads(definition)):
                access.require(role_arn, check)
        except access.AccessDeniedError as error:
            raise _NotAuthorizedError(
                f"'{role_arn}' is not authorized to create managed-rule. ({error})"
            ) from error

    def create_state_machine(
        self: Any,
        name: str,
        definition: str,
        roleArn: str,  # noqa: N803 - moto's name
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        require(definition, roleArn)
        return create(self, name, definition, roleArn, *args, **kwargs)

    def update_state_machine(
        self: Any, arn: str, definition: Any = None, role_arn: Any = None, **kwargs: Any
    ) -> Any:
        machine = self.describe_state_machine(arn)
        require(definition or machine.definition, role_arn or machine.roleArn)
        return update(self, arn, definition, role_arn, **kwargs)

    StepFunctionsParserBackend.create_state_machine = create_state_machine  # type: ignore[method-assign]
    StepFunctionsParserBackend.update_state_machine = update_state_machine  # type: ignore[assignment,method-assign]


def _require_capacity_providers() -> None:
    """moto drops the capacity providers of a cluster, and runs a task on any provider.

    ECS uses them with its service-linked role, which a new account does not have.
    """
    # Otherwise moto names the role AWSServiceRoleForecs.
    SERVICE_NAME_CONVERSION["ecs"] = "ECS"
    create = Cluster.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
    run_task = EC2ContainerServiceBackend.run_task

    def create_from(cls: Any, /, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        providers = resource["Properties"].get("CapacityProviders")
        roles = iam_backends[iam_requests.ACCOUNT][iam_requests.PARTITION].roles.values()
        if providers and not any(role.name == "AWSServiceRoleForECS" for role in roles):
            raise InvalidParameterException(
                "Unable to assume the service linked role. Please verify that the ECS service"
                " linked role exists."
            )
        cluster = create(cls, name, resource, *args, **kwargs)
        cluster.capacity_providers = providers
        return cluster

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = inspect.signature(run_task).bind(self, *args, **kwargs).arguments
        known = self._get_cluster(wanted["cluster_str"]).capacity_providers or []
        for item in wanted["capacity_provider_strategy"] or []:
            if item["capacityProvider"] not in known:
                raise InvalidParameterException(
                    "The specified capacity provider strategy contains a capacity provider that"
                    f" is not associated with the cluster: {item['capacityProvider']}"
                )
        return run_task(self, *args, **kwargs)

    Cluster.create_from_cloudformation_json = classmethod(create_from)  # type: ignore[assignment,method-assign]
    EC2ContainerServiceBackend.run_task = run  # type: ignore[method-assign]


def _keep_versions() -> None:
    """moto creates every bucket without versioning."""
    create = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_from(cls: Any, /, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        bucket = create(cls, name, resource, *args, **kwargs)
        bucket.versioning_status = (
            resource["Properties"].get("VersioningConfiguration", {}).get("Status")
        )
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(create_from)  # type: ignore[assignment,method-assign]


def _answer_with_outputs() -> None:
    """moto works out the outputs of a stack when it is created, and not from a change set."""
    execute = CloudFormationBackend.execute_change_set

    def execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
        execute(self, change_set_name, stack_name)
        for stack in self.stacks.values():
            if stack_name in {stack.name, stack.stack_id}:
                stack._parse_template()
                stack.output_map = stack._create_output_map()

    CloudFormationBackend.execute_change_set = execute_change_set  # type: ignore[method-assign]


def _delete_route_tables() -> None:
    """moto does not delete route tables with their stack, and then no VPC that has one."""

    def delete_from(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str
    ) -> None:
        del cls, resource
        backend = ec2_backends[account_id][region_name]
        table = backend.route_tables[name]
        table.associations.clear()
        backend.delete_route_table(name)

    RouteTable.delete_from_cloudformation_json = classmethod(delete_from)  # type: ignore[assignment,method-assign]


def _empty_repositories() -> None:
    """moto ignores EmptyOnDelete, and does not delete a repository that has images."""
    create = Repository.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_from(cls: Any, /, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        repository = create(cls, name, resource, *args, **kwargs)
        repository.empty_on_delete = resource["Properties"].get("EmptyOnDelete", False)
        return repository

    def delete(self: Any, account_id: str, region_name: str) -> None:
        ecr_backends[account_id][region_name].delete_repository(
            self.name, force=self.empty_on_delete
        )

    Repository.create_from_cloudformation_json = classmethod(create_from)  # type: ignore[assignment,method-assign]
    Repository.delete = delete  # type: ignore[method-assign]


def _name_interfaces() -> None:
    """moto ignores EnableDnsHostnames of a template, and then fails on RunTask."""
    NetworkInterface.private_dns_name = ""


def _end_log_group_arns_with_a_star() -> None:
    """In AWS the attribute Arn of a log group ends with ``:*``, which is what policies need."""

    def get_cfn_attribute(self: Any, attribute_name: str) -> str:
        del attribute_name
        return f"{self.arn}:*"

    LogGroup.get_cfn_attribute = get_cfn_attribute  # type: ignore[method-assign]


def _keep_policies_as_json() -> None:
    """moto keeps the policies in a role as objects, and returns their Python representation."""
    put = Role.put_policy

    def put_policy(self: Any, policy_name: str, policy_json: Any) -> None:
        put(
            self,
            policy_name,
            policy_json if isinstance(policy_json, str) else json.dumps(policy_json),
        )

    Role.put_policy = put_policy  # type: ignore[method-assign]


def _copy_a_table_once_in_a_transaction() -> None:
    """moto copies the whole table for each item of a transaction, to restore it after a failure.

    30, 60 and 120 dates of 15 items took 4, 16 and 68 CPU s, now 0.2, 0.3 and 0.6. Put and Delete
    replace items and change none, so that the dictionaries of items are copied, once a table.
    Update changes an item in place: a transaction with an Update keeps moto's copies.
    """
    transact = dynamodb.DynamoDBBackend.transact_write_items
    copies: ContextVar[dict[str, Table] | None] = ContextVar("copies", default=None)

    def transact_write_items(self: Any, transact_items: list[dict[str, Any]]) -> None:
        if any("Update" in item for item in transact_items):
            return transact(self, transact_items)
        token = copies.set({})
        try:
            return transact(self, transact_items)
        finally:
            copies.reset(token)

    def deepcopy(value: Any) -> Any:
        made = copies.get()
        if made is None or not isinstance(value, Table):
            return copy.deepcopy(value)
        if value.name not in made:
            table = made[value.name] = copy.copy(value)
            table.items = copy.copy(value.items)
            if value.has_range_key:
                table.items.update((key, dict(items)) for key, items in value.items.items())
        return made[value.name]

    dynamodb.copy = SimpleNamespace(deepcopy=deepcopy)  # type: ignore[assignment,attr-defined]
    dynamodb.DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]
